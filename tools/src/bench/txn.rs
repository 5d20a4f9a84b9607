//! `varve-bench txn-put`: transactions of puts of sequential keys.

use anyhow::ensure;
use bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::request_op::Request;
use varve_proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

use super::args::{Global, TxnPutArgs};
use super::connect::{connect_all, per_client};
use super::keys::{KeySpace, Random};
use super::load::{Load, Operation};
use super::measure;
use super::report::Report;

struct TxnPut {
    kv: KvClient<Channel>,
    keys: KeySpace,
    ops: u64,
    value: Bytes,
}

impl Operation for TxnPut {
    async fn call(&mut self, number: u64) -> Result<(), Status> {
        let first = number.wrapping_mul(self.ops);
        let puts = (0..self.ops).map(|i| PutRequest {
            key: self.keys.key(first.wrapping_add(i)),
            value: self.value.clone(),
            ..Default::default()
        });
        let success = puts
            .map(|put| RequestOp {
                request: Some(Request::RequestPut(put)),
            })
            .collect();
        self.kv
            .txn(TxnRequest {
                success,
                ..Default::default()
            })
            .await?;
        Ok(())
    }
}

pub(super) async fn run(global: &Global, args: &TxnPutArgs) -> anyhow::Result<Vec<Report>> {
    ensure!(
        args.txn_ops <= args.key_space_size,
        "--txn-ops {} is larger than --key-space-size {}: a transaction may put a key only once",
        args.txn_ops,
        args.key_space_size
    );
    let keys = KeySpace::new("", args.key_size, args.key_space_size)?;
    let value = Random::new(global.seed).bytes(args.val_size);
    let load = Load::new(global, args.total, args.rate)?;
    let channels = connect_all(global).await?;
    let clients = per_client(global.clients, &channels, |channel, _| TxnPut {
        kv: KvClient::new(channel),
        keys: keys.clone(),
        ops: args.txn_ops,
        value: value.clone(),
    });
    Ok(vec![measure("txn-put", global, load, clients).await?])
}
