//! One data directory, several programs: Varve, etcd 3.5.1, and an independent reader.

use std::process::Command;

use varve_proto::etcdserverpb::{CompactionRequest, HashKvRequest, LeaseRevokeRequest, PutRequest};

use crate::client::{Client, State, block_on, delete, op_delete, op_put, put, txn};
use crate::golden;
use crate::harness::{Member, Program, Server, binary, etcd_351, is_varve, scratch, skipped};

/// Writes of every kind, different in every `round`.
async fn write(client: &mut Client, round: i64) {
    for i in 0..40 {
        client
            .put(&format!("k/{}", i % 13), &format!("{round}.{i}"))
            .await;
    }
    client.kv.delete_range(delete("k/3")).await.unwrap();
    client
        .kv
        .delete_range(delete(&format!("none/{round}")))
        .await
        .unwrap();
    let ops = [
        op_put(put("t/1", &round.to_string())),
        op_put(put(&format!("t/new/{round}"), "v")),
        op_delete(delete("k/4")),
    ];
    client.kv.txn(txn(ops)).await.unwrap();
    let lease = client.grant(100_000 + round, 1000 + round).await;
    for key in ["l/shared".to_owned(), format!("l/{round}")] {
        client
            .kv
            .put(PutRequest {
                lease,
                ..put(&key, "leased")
            })
            .await
            .unwrap();
    }
    let short = client.grant(50_000, 2000 + round).await;
    client
        .kv
        .put(PutRequest {
            lease: short,
            ..put("l/gone", "x")
        })
        .await
        .unwrap();
    client
        .lease
        .lease_revoke(LeaseRevokeRequest { id: short })
        .await
        .unwrap();
    // A value across pages, and bytes that are no text.
    let large = PutRequest {
        value: vec![0xf5; 20_000].into(),
        ..put("large", "")
    };
    client.kv.put(large).await.unwrap();
}

/// State and HashKV of a running server.
async fn look(server: &Server) -> (State, u32) {
    let mut client = Client::connect(server).await;
    let state = State::of(&mut client).await;
    let hash = client
        .maintenance
        .hash_kv(HashKvRequest { revision: 0 })
        .await
        .unwrap();
    (state, hash.into_inner().hash)
}

#[test]
fn varve_and_etcd_take_turns_on_one_data_directory() {
    let etcd = match etcd_351("etcd") {
        Ok(path) => Program {
            path,
            flags: Vec::new(),
        },
        Err(reason) => return skipped("varve_and_etcd_take_turns_on_one_data_directory", &reason),
    };
    let dir = scratch();
    let ours = Member::new(dir.path());
    let theirs = Member {
        program: etcd,
        ..ours.clone()
    };

    let mut seen: Option<(State, u32)> = None;
    for (round, member) in [&ours, &theirs, &ours, &theirs, &ours]
        .into_iter()
        .enumerate()
    {
        // The list of free pages that Varve left in turn 0 and 2 lies beside etcd's database in turn 1 and 3,
        // and is of an older state when Varve comes back.
        let free_list = dir.path().join("data/member/snap/db.freelist");
        assert_eq!(free_list.exists(), round > 0, "turn {round}");
        let server = member.start();
        let found = block_on(look(&server));
        if let Some(seen) = &seen {
            assert_eq!(&found, seen, "{:?} in turn {round}", member.program);
        }
        let round = i64::try_from(round).unwrap();
        let written = block_on(async {
            let mut client = Client::connect(&server).await;
            write(&mut client, round).await;
            if round == 2 {
                let revision = found.0.revision;
                let compaction = CompactionRequest {
                    revision,
                    physical: true,
                };
                client.kv.compact(compaction).await.unwrap();
            }
            look(&server).await
        });
        assert!(written.0.revision > found.0.revision + 40);
        seen = Some(written);
        server.stop();
    }
}

#[test]
fn an_independent_reader_replays_what_varve_wrote() {
    const NAME: &str = "an_independent_reader_replays_what_varve_wrote";
    let replay = match golden::dir() {
        Ok(dir) => dir.join("reader/replay.py"),
        Err(reason) => return skipped(NAME, &reason),
    };
    if let Err(error) = Command::new("python3").arg("--version").output() {
        return skipped(NAME, &format!("python3: {error}"));
    }
    let dir = scratch();
    let member = Member::new(dir.path());
    for round in 0..2 {
        let server = member.start();
        let (state, hash) = block_on(async {
            let mut client = Client::connect(&server).await;
            write(&mut client, round).await;
            if round == 1 {
                let compaction = CompactionRequest {
                    revision: 20,
                    physical: true,
                };
                client.kv.compact(compaction).await.unwrap();
            }
            look(&server).await
        });
        server.stop();
        // etcd before 3.5.5 keeps and hashes tombstones at the compaction revision differently.
        let rules = if is_varve() { "new" } else { "old" };
        let output = Command::new("python3")
            .arg(&replay)
            .arg(&member.data_dir)
            .arg(rules)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}{errors}");
        assert!(text.contains("key bucket identical: True"), "{text}");
        let tail = format!("revision {} key bucket", state.revision);
        assert!(text.contains(&tail), "{text}");
        assert!(
            text.trim_end().ends_with(&format!("HashKV {hash}")),
            "{hash}: {text}"
        );
    }
}

#[test]
fn the_declared_version_is_3_5() {
    let dir = scratch();
    let server = Member::new(dir.path()).start();
    let version = server.get("/version").unwrap();
    assert!(
        version.contains(r#""etcdserver":"3.5."#),
        "{version} of {:?}",
        binary()
    );
    server.stop();
}
