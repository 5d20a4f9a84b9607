//! Data directories that etcd 3.4, 3.5 and 3.6 wrote open with everything that is in them.
//!
//! What must be there is in the golden files too: the answers of the etcd that wrote the directory,
//! after it was started again on it.

use bytes::Bytes;
use serde_json::Value;
use tonic::Code;
use varve_proto::etcdserverpb::alarm_request::AlarmAction;
use varve_proto::etcdserverpb::{
    AlarmRequest, HashKvRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest, RangeRequest,
};
use varve_proto::mvccpb::KeyValue;

use crate::client::{Client, State, block_on, everything, revision};
use crate::golden;
use crate::harness::{Member, Program, etcd_351, is_varve, scratch, skipped};

/// Directories of one member without authentication; all kinds of history.
const SAMPLES: [&str; 20] = [
    "basic-3.4.23",
    "basic-3.5.1",
    "basic-3.5.30",
    "basic-3.6.14",
    "alarm-3.4.23",
    "alarm-3.5.1",
    "alarm-3.6.14",
    "compact-3.4.23",
    "compact-3.5.1",
    "compact-3.5.30",
    "compact-3.6.14",
    "kill9-3.4.23",
    "kill9-3.5.1",
    "kill9-3.6.14",
    "snap10-3.4.23",
    "snap10-3.5.1",
    "snap10-3.6.14",
    "walcut-3.5.1",
    "walcut-3.6.14",
    "leasecp-3.6.14",
];

/// What etcd wrote as JSON, with text in base64.
struct Expected(Value);

impl Expected {
    fn of(sample: &str) -> Result<Self, String> {
        let path = golden::dir()?.join(format!("expected/{sample}.json"));
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        Ok(Self(value["after_restart"].take()))
    }

    fn revision(&self) -> i64 {
        self.0["get_all"]["header"]["revision"].as_i64().unwrap()
    }

    /// The keys at the end.
    fn keys(&self) -> Vec<KeyValue> {
        let rows = self.0["get_all"]["kvs"].as_array().unwrap().iter();
        rows.map(|row| KeyValue {
            key: base64(&row["key"]),
            value: row.get("value").map_or_else(Bytes::new, base64),
            create_revision: row["create_revision"].as_i64().unwrap(),
            mod_revision: row["mod_revision"].as_i64().unwrap(),
            version: row["version"].as_i64().unwrap(),
            lease: row["lease"].as_i64().unwrap_or(0),
        })
        .collect()
    }

    /// Keys at every revision, where they were noted; `None` where it was compacted.
    fn at_revisions(&self) -> Vec<(i64, Option<Vec<KeyValue>>)> {
        let rows = self.0["get_all_at_rev"].as_object().into_iter().flatten();
        rows.map(|(revision, rows)| {
            let kvs = rows
                .as_array()
                .map(|rows| rows.iter().map(key_value).collect());
            (revision.parse().unwrap(), kvs)
        })
        .collect()
    }

    /// HashKV by revision; `None` where it was refused.
    fn hashes(&self) -> Vec<(i64, Option<u32>)> {
        let rows = self.0["hashkv"].as_object().unwrap().iter();
        rows.map(|(revision, row)| {
            let hash = row["hash"]
                .as_u64()
                .map(|hash| u32::try_from(hash).unwrap());
            (revision.parse().unwrap(), hash)
        })
        .collect()
    }

    /// Id, granted time to live, and keys.
    fn leases(&self) -> Vec<(i64, i64, Vec<Bytes>)> {
        let rows = self.0["leases"].as_object().unwrap().iter();
        let mut leases: Vec<_> = rows
            .map(|(id, row)| {
                let keys = row["keys"]
                    .as_array()
                    .map_or(&[][..], |keys| keys.as_slice());
                let mut keys: Vec<_> = keys.iter().map(base64).collect();
                keys.sort_unstable();
                (
                    id.parse().unwrap(),
                    row["granted-ttl"].as_i64().unwrap(),
                    keys,
                )
            })
            .collect();
        leases.sort_unstable();
        leases
    }

    fn alarms(&self) -> usize {
        self.0["alarms"]["alarms"].as_array().map_or(0, Vec::len)
    }

    fn member_id(&self) -> u64 {
        self.0["get_all"]["header"]["member_id"].as_u64().unwrap()
    }
}

/// A row of the expected files: key, value, create, mod, version, lease.
fn key_value(row: &Value) -> KeyValue {
    let number = |i: usize| row[i].as_i64().unwrap();
    KeyValue {
        key: base64(&row[0]),
        value: base64(&row[1]),
        create_revision: number(2),
        mod_revision: number(3),
        version: number(4),
        lease: number(5),
    }
}

/// Base64, or the golden files' short form of a large value: `<base64 of N bytes of Z>`.
fn base64(text: &Value) -> Bytes {
    if let Some(large) = text.as_str().unwrap().strip_prefix("<base64 of ") {
        let words: Vec<_> = large.trim_end_matches('>').split(' ').collect();
        let [len, "bytes", "of", byte] = words[..] else {
            panic!("unknown short form {text}");
        };
        return byte.repeat(len.parse().unwrap()).into();
    }
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.as_str().unwrap().bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out.into()
}

/// Everything that the etcd which wrote the directory said of it.
async fn check(sample: &str, expected: &Expected, client: &mut Client) {
    let all = client.all(0).await;
    let header = all.header.unwrap();
    assert_eq!(header.member_id, expected.member_id(), "{sample}");
    assert_eq!(header.revision, expected.revision(), "{sample}");
    assert_eq!(all.kvs, expected.keys(), "{sample}");

    for (at, kvs) in expected.at_revisions() {
        let request = RangeRequest {
            revision: at,
            ..everything()
        };
        match (client.kv.range(request).await, kvs) {
            (Ok(found), Some(kvs)) => assert_eq!(found.into_inner().kvs, kvs, "{sample} at {at}"),
            (Err(status), None) => assert_eq!(status.code(), Code::OutOfRange, "{sample} at {at}"),
            (found, kvs) => panic!("{sample} at {at}: {found:?} instead of {kvs:?}"),
        }
    }
    for (at, hash) in expected.hashes() {
        let found = client
            .maintenance
            .hash_kv(HashKvRequest { revision: at })
            .await;
        match (found, hash) {
            (Ok(found), Some(hash)) => {
                assert_eq!(found.into_inner().hash, hash, "HashKV of {sample} at {at}");
            }
            // The compaction revision itself: old versions refuse it, newer ones answer.
            (Ok(found), None) => assert_eq!(found.into_inner().compact_revision, at, "{sample}"),
            (Err(status), None) => assert_eq!(status.code(), Code::OutOfRange, "{sample} at {at}"),
            (Err(status), Some(_)) => panic!("HashKV of {sample} at {at}: {status}"),
        }
    }
    let state = State::of(client).await;
    assert_eq!(state.leases, expected.leases(), "{sample}");
    let ask = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..Default::default()
    };
    let alarms = client
        .maintenance
        .alarm(ask)
        .await
        .unwrap()
        .into_inner()
        .alarms;
    assert_eq!(alarms.len(), expected.alarms(), "{sample}");
}

#[test]
fn directories_of_etcd_3_4_to_3_6_open_with_all_that_is_in_them() {
    const NAME: &str = "directories_of_etcd_3_4_to_3_6_open_with_all_that_is_in_them";
    let etcd = etcd_351("etcd").ok();
    for sample in SAMPLES {
        if !is_varve() && !sample.ends_with("-3.5.1") {
            continue;
        }
        let dir = scratch();
        let (expected, data_dir) = match (Expected::of(sample), golden::unpack(sample, dir.path()))
        {
            (Ok(expected), Ok(data_dir)) => (expected, data_dir),
            (Err(reason), _) | (_, Err(reason)) => return skipped(NAME, &reason),
        };
        let mut member = Member::new(dir.path());
        member.data_dir = data_dir;
        if sample.contains("-3.6.") {
            member.program.flags = vec!["--compat-version=3.6".to_owned()];
        }
        for _ in 0..2 {
            let server = member.start();
            block_on(async {
                check(sample, &expected, &mut Client::connect(&server).await).await;
            });
            server.stop();
        }
        // And back: the etcd that wrote it still finds everything.
        if let Some(etcd) = etcd.as_ref().filter(|_| sample.ends_with("-3.5.1")) {
            member.program = Program {
                path: etcd.clone(),
                flags: Vec::new(),
            };
            let server = member.start();
            block_on(async {
                let mut client = Client::connect(&server).await;
                check(sample, &expected, &mut client).await;
            });
            server.stop();
        }
    }
}

#[test]
fn a_lease_keeps_the_time_that_was_left_when_it_was_checkpointed() {
    const NAME: &str = "a_lease_keeps_the_time_that_was_left_when_it_was_checkpointed";
    if !is_varve() {
        return skipped(NAME, "etcd 3.5.1 does not know persisted checkpoints");
    }
    let dir = scratch();
    let data_dir = match golden::unpack("leasecp-3.6.14", dir.path()) {
        Ok(data_dir) => data_dir,
        Err(reason) => return skipped(NAME, &reason),
    };
    let mut member = Member::new(dir.path());
    member.program.flags = vec!["--compat-version=3.6".to_owned()];
    member.data_dir = data_dir;
    let server = member.start();
    block_on(async {
        let mut client = Client::connect(&server).await;
        let leases = client
            .lease
            .lease_leases(LeaseLeasesRequest {})
            .await
            .unwrap()
            .into_inner();
        let id = leases.leases[0].id;
        let ask = LeaseTimeToLiveRequest { id, keys: false };
        let lease = client
            .lease
            .lease_time_to_live(ask)
            .await
            .unwrap()
            .into_inner();
        // Granted 1000 s; 700 were left at the checkpoint.
        assert_eq!(lease.granted_ttl, 1000);
        assert!((600..=700).contains(&lease.ttl), "{lease:?}");
        assert_eq!(revision(client.all(0).await.header), 2);
    });
    server.stop();
}

#[test]
fn directories_we_do_not_understand_yet_are_refused_untouched() {
    const NAME: &str = "directories_we_do_not_understand_yet_are_refused_untouched";
    if !is_varve() {
        return skipped(NAME, "etcd understands them");
    }
    for sample in ["auth-3.5.1", "auth-3.6.14"] {
        let dir = scratch();
        let data_dir = match golden::unpack(sample, dir.path()) {
            Ok(data_dir) => data_dir,
            Err(reason) => return skipped(NAME, &reason),
        };
        let mut member = Member::new(dir.path());
        member.data_dir = data_dir;
        let before = golden::fingerprint(&member.data_dir);
        let refused = member.start_refused();
        assert!(
            refused.output.contains("support"),
            "{sample}: {}",
            refused.output
        );
        assert_eq!(
            golden::fingerprint(&member.data_dir),
            before,
            "{sample}: files changed"
        );
    }
}
