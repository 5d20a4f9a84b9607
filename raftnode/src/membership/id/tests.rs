use super::*;

/// etcd's documented default: one member named `default` at http://localhost:2380.
#[test]
fn the_default_member_has_etcds_well_known_id() {
    let id = member_id(&["http://localhost:2380".to_owned()], "etcd-cluster", None);
    assert_eq!(format!("{id:x}"), "8e9e05c52164694d");
    assert_eq!(format!("{:x}", cluster_id([id])), "cdf818194e3a8c32");
}

#[test]
fn url_order_does_not_change_the_id() {
    let a = "http://10.0.0.1:2380".to_owned();
    let b = "http://10.0.0.2:2380".to_owned();
    let one = member_id(&[a.clone(), b.clone()], "t", Some(7));
    assert_eq!(one, member_id(&[b, a], "t", Some(7)));
}

#[test]
fn token_and_time_change_the_id() {
    let urls = ["http://10.0.0.1:2380".to_owned()];
    assert_ne!(member_id(&urls, "a", None), member_id(&urls, "b", None));
    assert_ne!(member_id(&urls, "a", None), member_id(&urls, "a", Some(1)));
}
