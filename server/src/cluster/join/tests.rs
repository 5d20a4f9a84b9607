//! Properties of the first start, against members that only answer `/members` and `/version`.
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Environment, Parsed};

/// A member that answers every connection by path, until the test ends. Its URL.
async fn member(answers: impl Fn(&str) -> (String, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let mut asked = vec![0; 4096];
                let n = stream.read(&mut asked).await.unwrap();
                let asked = String::from_utf8_lossy(&asked[..n]).into_owned();
                let (head, body) = answers(asked.split(' ').nth(1).unwrap());
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            });
        }
    });
    url
}

/// A running member of cluster `ab` at `version`, that lists `members`.
async fn running(members: Arc<parking_lot::Mutex<String>>, version: &'static str) -> String {
    member(move |path| match path {
        "/members" => (
            "200 OK\r\nX-Etcd-Cluster-ID: ab".to_owned(),
            members.lock().clone(),
        ),
        "/version" => (
            "200 OK".to_owned(),
            format!(r#"{{"etcdserver":"3.5.1","etcdcluster":"{version}"}}"#),
        ),
        _ => ("404 Not Found".to_owned(), "404 page not found".to_owned()),
    })
    .await
}

const OWN: &str = "http://127.0.0.1:1";

fn config(initial_cluster: &str, state: &str) -> Config {
    let args = [
        "--name=new",
        &format!("--initial-advertise-peer-urls={OWN}"),
        &format!("--initial-cluster={initial_cluster}"),
        &format!("--initial-cluster-state={state}"),
        "--election-timeout=500",
    ];
    match Config::parse(&args.map(str::to_owned), &Environment::default()).unwrap() {
        Parsed::Run(run) => run.config,
        Parsed::Print(text) => panic!("{text}"),
    }
}

fn client() -> PeerClient {
    let timings = varve_raftnode::PeerTimings::new(Duration::from_secs(1));
    PeerClient::new(varve_raftnode::PeerClient::new(None, timings))
}

/// The outcome of joining a cluster whose only answering member has this version and this list, with
/// `%` for its URL.
async fn joining(list: &str, version: &'static str) -> Result<FirstStart, String> {
    let members = Arc::new(parking_lot::Mutex::new(String::new()));
    let url = running(Arc::clone(&members), version).await;
    *members.lock() = list.replace('%', &url);
    let config = config(&format!("old={url},new={OWN}"), "existing");
    first_start(&config, &client()).await
}

const BOTH: &str = r#"[{"id":7,"peerURLs":["%"],"name":"old","clientURLs":["http://c"]},
                       {"id":9,"peerURLs":["http://127.0.0.1:1"]}]"#;

#[tokio::test]
async fn a_joining_member_takes_its_ids_from_the_running_cluster() {
    let start = joining(BOTH, "3.5.0").await.unwrap();
    assert_eq!((start.id, start.cluster_id), (9, 0xab));
    assert!(start.initial.is_empty());
    assert_eq!(start.remotes.iter().map(|m| m.id).collect::<Vec<_>>(), [7]);
}

#[tokio::test]
async fn a_member_that_the_cluster_does_not_expect_is_refused() {
    let fewer = r#"[{"id":7,"peerURLs":["%"]}]"#;
    let error = joining(fewer, "3.5.0").await.unwrap_err();
    assert!(error.contains("member count is unequal"), "{error}");
    let elsewhere = r#"[{"id":7,"peerURLs":["%"]},{"id":9,"peerURLs":["http://127.0.0.1:2"]}]"#;
    let error = joining(elsewhere, "3.5.0").await.unwrap_err();
    assert!(
        error.contains("PeerURLs: no match found for existing member (9"),
        "{error}"
    );
    let learners = r#"[{"id":7,"peerURLs":["%"],"isLearner":true},
                       {"id":9,"peerURLs":["http://127.0.0.1:1"],"isLearner":true}]"#;
    let error = joining(learners, "3.5.0").await.unwrap_err();
    assert_eq!(error, "membership: too many learner members in cluster");
}

#[tokio::test]
async fn a_cluster_that_is_too_new_too_old_or_undecided_is_not_joined() {
    for version in ["3.7.0", "2.3.0", "not_decided"] {
        let error = joining(BOTH, version).await.unwrap_err();
        assert_eq!(error, "incompatible with current running cluster");
    }
}

#[tokio::test]
async fn a_cluster_of_which_nobody_answers_is_not_joined_but_made() {
    let cluster = format!("old=http://127.0.0.1:9,new={OWN}");
    let error = first_start(&config(&cluster, "existing"), &client())
        .await
        .unwrap_err();
    assert!(
        error.starts_with("cannot fetch cluster info from peer urls"),
        "{error}"
    );
    let start = first_start(&config(&cluster, "new"), &client())
        .await
        .unwrap();
    assert_eq!(start.initial.len(), 2);
    assert_eq!(
        start.cluster_id,
        cluster_id(start.initial.iter().map(|m| m.id))
    );
}

#[tokio::test]
async fn a_member_that_was_bootstrapped_before_is_not_bootstrapped_again() {
    let members = Arc::new(parking_lot::Mutex::new(String::new()));
    let url = running(Arc::clone(&members), "3.5.0").await;
    let cluster = format!("old={url},new={OWN}");
    let config = config(&cluster, "new");
    let own = member_id(&[OWN.to_owned()], "etcd-cluster", None);
    // Known, and not yet started: it may.
    *members.lock() = format!(r#"[{{"id":{own},"peerURLs":["{OWN}"]}}]"#);
    assert_eq!(first_start(&config, &client()).await.unwrap().id, own);
    *members.lock() = format!(r#"[{{"id":{own},"peerURLs":["{OWN}"],"clientURLs":["http://c"]}}]"#);
    let error = first_start(&config, &client()).await.unwrap_err();
    assert_eq!(
        error,
        format!("member {own:x} has already been bootstrapped")
    );
}

#[tokio::test]
async fn urls_are_the_same_by_text_or_by_address() {
    let urls = |list: &[&str]| list.iter().map(|u| (*u).to_owned()).collect::<Vec<_>>();
    let a = urls(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
    assert!(same_urls(&a, &urls(&["http://127.0.0.1:2", "http://127.0.0.1:1"])).await);
    assert!(!same_urls(&a, &urls(&["http://127.0.0.1:1"])).await);
    assert!(!same_urls(&a[..1], &urls(&["https://127.0.0.1:1"])).await);
    assert!(!same_urls(&a[..1], &urls(&["http://127.0.0.1:3"])).await);
}
