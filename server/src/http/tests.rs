use std::sync::Mutex;

use super::*;
use crate::config::{Config, Environment, Parsed};

#[derive(Default)]
struct Fake {
    alarms: Vec<&'static str>,
    no_leader: bool,
    learner: bool,
    failing: Option<&'static str>,
    reads: Mutex<Vec<bool>>,
}

impl Probe for Fake {
    fn alarms(&self) -> Vec<&'static str> {
        self.alarms.clone()
    }
    fn has_leader(&self) -> bool {
        !self.no_leader
    }
    fn is_learner(&self) -> bool {
        self.learner
    }
    fn cluster_version(&self) -> Option<String> {
        Some("3.5.0".to_owned())
    }
    fn storage_version(&self) -> Option<String> {
        None
    }
    fn sample(&self) -> Sample {
        Sample {
            has_leader: !self.no_leader,
            ..Sample::default()
        }
    }
    async fn read(&self, linearizable: bool) -> Result<(), String> {
        self.reads.lock().unwrap().push(linearizable);
        self.failing.map_or(Ok(()), |reason| Err(reason.to_owned()))
    }
}

fn operations(probe: Fake, args: &[&str]) -> Operations<Fake> {
    let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
    let config: Config = match Config::parse(&args, &Environment::default()).unwrap() {
        Parsed::Run(run) => run.config,
        Parsed::Print(_) => unreachable!("no such flag given"),
    };
    Operations::new(Arc::new(probe), Arc::new(Metrics::new(&config)), &config)
}

fn ask(operations: &Operations<Fake>, method: Method, uri: &str) -> Response<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("host", "h:1")
        .body(())
        .unwrap();
    futures_util::future::FutureExt::now_or_never(operations.respond(&request, Listener::Client))
        .expect("the fake never waits")
}

fn get(probe: Fake, uri: &str) -> (u16, String) {
    let response = ask(
        &operations(probe, &["--compat-version=3.5"]),
        Method::GET,
        uri,
    );
    (
        response.status().as_u16(),
        String::from_utf8(response.into_body().to_vec()).unwrap(),
    )
}

#[test]
fn a_healthy_member_says_so_in_etcds_words() {
    assert_eq!(
        get(Fake::default(), "/health"),
        (200, r#"{"health":"true","reason":""}"#.to_owned())
    );
    assert_eq!(get(Fake::default(), "/livez"), (200, "ok\n".to_owned()));
    let all = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n\
               [+]non_learner ok\nok\n";
    assert_eq!(
        get(Fake::default(), "/readyz?verbose"),
        (200, all.to_owned())
    );
    assert_eq!(
        get(Fake::default(), "/readyz/non_learner?verbose=1"),
        (200, "[+]non_learner ok\nok\n".to_owned())
    );
}

#[test]
fn the_first_thing_wrong_is_the_reason() {
    let body = |reason: &str| {
        (
            503,
            format!("{{\"health\":\"false\",\"reason\":\"{reason}\"}}\n"),
        )
    };
    let alarmed = || Fake {
        alarms: vec!["NOSPACE"],
        no_leader: true,
        ..Fake::default()
    };
    assert_eq!(get(alarmed(), "/health"), body("ALARM NOSPACE"));
    assert_eq!(
        get(alarmed(), "/health?exclude=NOSPACE"),
        body("RAFT NO LEADER")
    );
    assert_eq!(
        get(alarmed(), "/health?exclude=CORRUPT"),
        body("ALARM NOSPACE")
    );
    let serializable = get(alarmed(), "/health?exclude=NOSPACE&serializable=true");
    assert_eq!(serializable.0, 200);
    let failing = Fake {
        failing: Some("etcdserver: request timed out"),
        ..Fake::default()
    };
    assert_eq!(
        get(failing, "/health"),
        body("RANGE ERROR:etcdserver: request timed out")
    );
}

#[test]
fn a_serializable_health_check_asks_for_no_round_to_the_leader() {
    let ops = operations(Fake::default(), &[]);
    ask(&ops, Method::GET, "/health?serializable=true");
    ask(&ops, Method::GET, "/health");
    assert_eq!(*ops.probe.reads.lock().unwrap(), [false, true]);
}

#[test]
fn failed_checks_are_listed_and_can_be_excluded() {
    let corrupt = || Fake {
        alarms: vec!["CORRUPT"],
        learner: true,
        ..Fake::default()
    };
    let (status, text) = get(corrupt(), "/readyz");
    assert_eq!(status, 503);
    assert!(
        text.contains("[-]data_corruption failed: alarm activated: CORRUPT\n"),
        "{text}"
    );
    assert!(text.contains("[-]non_learner failed"), "{text}");
    assert_eq!(
        get(
            corrupt(),
            "/readyz?exclude=data_corruption&exclude=non_learner"
        )
        .0,
        200
    );
    assert_eq!(
        get(corrupt(), "/readyz/data_corruption?exclude=data_corruption").0,
        503
    );
    assert_eq!(get(corrupt(), "/livez").0, 200);
    assert_eq!(get(corrupt(), "/livez/data_corruption").0, 404);
}

#[test]
fn the_version_is_the_declared_one() {
    let text = r#"{"etcdserver":"3.5.30","etcdcluster":"3.5.0"}"#;
    assert_eq!(get(Fake::default(), "/version"), (200, text.to_owned()));
    let response = ask(&operations(Fake::default(), &[]), Method::GET, "/version");
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = r#"{"etcdserver":"3.6.14","etcdcluster":"3.5.0","storage":"unknown"}"#;
    assert_eq!(response.into_body(), text.as_bytes());
}

#[test]
fn other_methods_and_paths_are_refused_as_go_refuses_them() {
    let ops = operations(Fake::default(), &[]);
    for path in ["/health", "/version", "/livez", "/readyz/non_learner"] {
        let response = ask(&ops, Method::POST, path);
        assert_eq!(response.status(), 405, "{path}");
        assert_eq!(response.headers()["allow"], "GET");
        assert_eq!(response.into_body(), "Method Not Allowed\n");
    }
    for path in ["/", "/v2/keys", "/livezz", "/livez/x", "/metrics/x"] {
        let response = ask(&ops, Method::GET, path);
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.into_body(), "404 page not found\n");
    }
}

#[test]
fn metrics_are_served_as_prometheus_text() {
    let response = ask(&operations(Fake::default(), &[]), Method::GET, "/metrics");
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(response.into_body().to_vec()).unwrap();
    assert!(text.contains("\netcd_server_has_leader 1\n"));
}

#[test]
fn the_metrics_listener_has_no_version() {
    let ops = operations(Fake::default(), &["--cors=http://a"]);
    let request = Request::get("/version").body(()).unwrap();
    let response =
        futures_util::future::FutureExt::now_or_never(ops.respond(&request, Listener::Metrics));
    assert_eq!(response.unwrap().status(), 404);
}

#[test]
fn origins_and_hosts_outside_the_lists_get_nothing() {
    let open = ask(
        &operations(Fake::default(), &[]),
        Method::OPTIONS,
        "/health",
    );
    assert_eq!(
        (
            open.status().as_u16(),
            &open.headers()["access-control-allow-origin"]
        ),
        (200, &"*".parse().unwrap())
    );

    let ops = operations(
        Fake::default(),
        &["--cors=http://a", "--host-whitelist=good,h"],
    );
    let from = |origin: &str, host: &str| {
        let request = Request::get("/version")
            .header("origin", origin)
            .header("host", host);
        futures_util::future::FutureExt::now_or_never(
            ops.respond(&request.body(()).unwrap(), Listener::Client),
        )
        .unwrap()
    };
    let allowed = from("http://a", "h:2379");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "http://a");
    assert_eq!(
        allowed.headers()["access-control-allow-methods"],
        "POST, GET, OPTIONS, PUT, DELETE"
    );
    assert!(
        !from("http://b", "h")
            .headers()
            .contains_key("access-control-allow-origin")
    );
    let misdirected = from("http://a", "evil:2379");
    assert_eq!(misdirected.status(), 421);
}
