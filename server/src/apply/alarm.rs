//! Alarms: which member raised which, kept in the `alarm` bucket.
//!
//! The record is its own key: the encoded `AlarmMember`, with an empty value.
//! Source: etcd `server/etcdserver/api/v3alarm/alarms.go`.
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use varve_backend::{Direction, KeyRange};
use varve_mvcc::{WriteTxn, schema};
use varve_proto::etcdserverpb::alarm_request::AlarmAction;
use varve_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType};
use varve_proto::prost::Message as _;

use crate::start::StartError;

/// The active alarms; written by the apply thread, read by everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    /// (kind, member)
    active: Arc<RwLock<BTreeSet<(i32, u64)>>>,
}

impl Alarms {
    /// Reads the bucket.
    pub(crate) fn load(view: &varve_backend::View) -> Result<Self, StartError> {
        let alarms = Self::default();
        alarms.reload(view)?;
        Ok(alarms)
    }

    /// Reads the bucket again, after the database was replaced.
    pub(crate) fn reload(&self, view: &varve_backend::View) -> Result<(), StartError> {
        let mut active = BTreeSet::new();
        let mut scan = view.scan(schema::ALARM, &KeyRange::all(), Direction::Forward)?;
        while let Some((key, _)) = scan.next()? {
            let alarm = AlarmMember::decode(key)
                .map_err(|e| StartError::Other(format!("bucket alarm does not parse: {e}")))?;
            active.insert((alarm.alarm, alarm.member_id));
        }
        *self.active.write() = active;
        Ok(())
    }

    /// Whether any member raised this kind.
    pub(crate) fn is_active(&self, kind: AlarmType) -> bool {
        self.active.read().iter().any(|(k, _)| *k == kind as i32)
    }

    /// The active alarms of a kind; all of them for `None`.
    pub(crate) fn list(&self, kind: AlarmType) -> Vec<AlarmMember> {
        self.active
            .read()
            .iter()
            .filter(|(k, _)| kind == AlarmType::None || *k == kind as i32)
            .map(|&(alarm, member_id)| AlarmMember { member_id, alarm })
            .collect()
    }

    /// Applies an alarm request: the alarms that match or changed.
    pub(crate) fn apply(&self, txn: &mut WriteTxn<'_>, request: &AlarmRequest) -> Vec<AlarmMember> {
        let kind = request.alarm();
        let member = AlarmMember {
            member_id: request.member_id,
            alarm: request.alarm,
        };
        let key = || Bytes::from(member.encode_to_vec());
        let entry = (member.alarm, member.member_id);
        match request.action() {
            AlarmAction::Get => self.list(kind),
            AlarmAction::Activate if kind == AlarmType::None => Vec::new(),
            AlarmAction::Activate => {
                if self.active.write().insert(entry) {
                    txn.put_raw(schema::ALARM, key(), Bytes::new());
                }
                vec![member]
            }
            AlarmAction::Deactivate => {
                if !self.active.write().remove(&entry) {
                    return Vec::new();
                }
                txn.delete_raw(schema::ALARM, key());
                vec![member]
            }
        }
    }
}
