//! `varve-bench put`.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tonic::Status;
use tonic::transport::Channel;
use varve_proto::etcdserverpb::kv_client::KvClient;
use varve_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use varve_proto::etcdserverpb::{
    CompactionRequest, HashKvRequest, PutRequest, RangeRequest, StatusRequest,
};

use super::args::{Global, PutArgs};
use super::connect::{connect_all, per_client};
use super::keys::{KeySpace, Random};
use super::load::{Load, Operation};
use super::measure;
use super::report::{HashKv, Report};

struct Put {
    kv: KvClient<Channel>,
    keys: KeySpace,
    /// `None`: sequential keys.
    random: Option<Random>,
    value: Bytes,
}

impl Operation for Put {
    async fn call(&mut self, number: u64) -> Result<(), Status> {
        let key = match &mut self.random {
            Some(random) => self.keys.random_key(random),
            None => self.keys.key(number),
        };
        let put = PutRequest {
            key,
            value: self.value.clone(),
            ..Default::default()
        };
        self.kv.put(put).await?;
        Ok(())
    }
}

pub(super) async fn run(global: &Global, args: &PutArgs) -> anyhow::Result<Vec<Report>> {
    let keys = KeySpace::new(&args.prefix, args.key_size, args.key_space_size)?;
    let mut random = Random::new(global.seed);
    let value = random.bytes(args.val_size);
    let load = Load::new(global, args.total, args.rate)?;
    let channels = connect_all(global).await?;
    let mut clients = per_client(global.clients, &channels, |channel, _| Put {
        kv: KvClient::new(channel),
        keys: keys.clone(),
        random: None,
        value: value.clone(),
    });
    if !args.sequential_keys {
        for client in &mut clients {
            client.random = Some(random.fork());
        }
    }
    let first = channels.first().context("no connection")?.clone();
    let compactor = (!args.compact_interval.is_zero()).then(|| {
        let kv = KvClient::new(first.clone());
        tokio::spawn(compact_now_and_then(
            kv,
            args.compact_interval,
            args.compact_index_delta,
        ))
    });
    let mut report = measure("put", global, load, clients).await?;
    if let Some(compactor) = compactor {
        // Still at it: fine. Ended: only an error ends it, and the run is not what was asked for.
        if compactor.is_finished() {
            compactor
                .await
                .context("the compactor panicked")?
                .context("compacting")?;
        } else {
            compactor.abort();
        }
    }
    if args.check_hashkv {
        report.hash_kv = Some(hash_kv(first, global).await.context("asking for HashKV")?);
    }
    Ok(vec![report])
}

/// Compacts `delta` revisions behind the newest, every `interval`. Ends with the first error.
async fn compact_now_and_then(
    mut kv: KvClient<Channel>,
    interval: Duration,
    delta: i64,
) -> Result<(), Status> {
    loop {
        tokio::time::sleep(interval).await;
        let probe = RangeRequest {
            key: Bytes::from_static(b"foo"),
            ..Default::default()
        };
        let header = kv
            .range(probe)
            .await?
            .into_inner()
            .header
            .unwrap_or_default();
        let revision = (header.revision - delta).max(0);
        match kv
            .compact(CompactionRequest {
                revision,
                physical: false,
            })
            .await
        {
            Ok(_) => {}
            // Nothing new since the last time.
            Err(status) if status.code() == tonic::Code::OutOfRange => {}
            Err(status) => return Err(status),
        }
    }
}

async fn hash_kv(channel: Channel, global: &Global) -> anyhow::Result<HashKv> {
    let mut maintenance = MaintenanceClient::new(channel);
    let started = std::time::Instant::now();
    let hash = maintenance
        .hash_kv(HashKvRequest { revision: 0 })
        .await?
        .into_inner();
    let status = maintenance.status(StatusRequest {}).await?.into_inner();
    Ok(HashKv {
        hash: hash.hash,
        revision: hash.header.unwrap_or_default().revision,
        endpoint: global.endpoints.first().cloned().unwrap_or_default(),
        took: started.elapsed(),
        db_size_bytes: status.db_size,
    })
}
