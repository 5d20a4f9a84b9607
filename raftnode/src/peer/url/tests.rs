use super::{PeerUrl, Scheme, UrlPicker};

#[test]
fn urls_are_judged_as_etcd_judges_them() {
    let url = PeerUrl::parse(" http://[::1]:2380 ").unwrap();
    assert_eq!(url.host_port(), Some(("::1", 2380)));
    assert_eq!((url.authority(), url.is_tls()), ("[::1]:2380", false));
    let url = PeerUrl::parse("https://etcd-0.example:2380").unwrap();
    assert_eq!(url.host_port(), Some(("etcd-0.example", 2380)));
    assert_eq!((url.scheme(), url.is_tls()), (Scheme::Https, true));
    let url = PeerUrl::parse("unixs:///run/a.sock").unwrap();
    assert_eq!(url.socket().unwrap().to_str(), Some("/run/a.sock"));
    for bad in [
        "",
        "127.0.0.1:2380",
        "ftp://127.0.0.1:2380",
        "http://127.0.0.1",
        "http://127.0.0.1:",
        "http://:2380",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:+1",
        "http://127.0.0.1:2380/path",
        "http://user@127.0.0.1:2380",
        "http://::1:2380",
        "http://127.0.0.1:2380?x",
        "http://a b:1",
        "http://a\r\nX-Evil:1",
        "unix://",
    ] {
        assert!(PeerUrl::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_failure_moves_on_once_however_many_saw_it() {
    let parse = |texts: &[&str]| texts.iter().map(|t| PeerUrl::parse(t).unwrap()).collect();
    let picker = UrlPicker::new(parse(&["http://a:1", "http://b:1"])).unwrap();
    let first = picker.pick();
    assert_eq!(first.to_string(), "http://a:1");
    picker.unreachable(&first);
    picker.unreachable(&first);
    let second = picker.pick();
    assert_eq!(second.to_string(), "http://b:1");
    picker.unreachable(&second);
    assert_eq!(picker.pick(), first);
    picker.update(parse(&["http://c:1"]));
    picker.unreachable(&first);
    picker.unreachable(&picker.pick());
    assert_eq!(picker.pick().to_string(), "http://c:1");
    assert!(UrlPicker::new(vec![]).is_none());
}
