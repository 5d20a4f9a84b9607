//! Leases with a key each: renewed for a while, then left to run out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use varve_proto::etcdserverpb::lease_client::LeaseClient;
use varve_proto::etcdserverpb::{LeaseGrantRequest, LeaseKeepAliveRequest};
use varve_sim::Rng;
use varve_sim::history::lease::{Look, Renewal};
use varve_sim::history::{Call, LeaseRun, Outcome, Seen, Span, Write};

use super::client::{kv, perform};
use super::{PATIENCE, Shared, connect};

/// Between two looks at a lease that runs out.
const LOOK: Duration = Duration::from_millis(150);

/// One lease after the other until the traffic stops; the last one is seen to its end.
pub(super) async fn run(number: u64, shared: Arc<Shared>) {
    let mut rng = Rng::new(number ^ 0x1ea5e);
    while !shared.is_stopped() {
        shared.turn().await;
        let url = shared.url(rng.draw());
        match grant(&url, rng.between(2, 3).cast_signed(), &shared).await {
            Some(lease) => live(number, lease, &mut rng, &shared).await,
            None => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn grant(url: &str, ttl: i64, shared: &Shared) -> Option<LeaseRun> {
    let mut client = LeaseClient::new(connect(url).await?);
    let invoked = shared.now();
    let request = LeaseGrantRequest { ttl, id: 0 };
    let granted = client.lease_grant(request).await.ok()?.into_inner();
    Some(LeaseRun {
        id: granted.id,
        ttl: granted.ttl.unsigned_abs() * 1_000_000_000,
        renewals: vec![Renewal {
            invoked,
            completed: shared.now(),
            acknowledged: true,
        }],
        revoked: None,
        looks: Vec::new(),
    })
}

/// A lease's life.
async fn live(number: u64, mut lease: LeaseRun, rng: &mut Rng, shared: &Shared) {
    let key: Bytes = format!("h/lease/{}", shared.leases.fetch_add(1, Ordering::SeqCst)).into();
    let write = Write::Put {
        key: key.clone(),
        value: key.clone(),
        lease: lease.id,
    };
    let url = shared.url(rng.draw());
    let Some(mut client) = kv(&url).await else {
        return;
    };
    let put = perform(&mut client, &url, number, Call::Write(write), shared).await;
    if put.answer().is_none() {
        return;
    }
    let ttl = Duration::from_nanos(lease.ttl);
    for _ in 0..rng.below(5) {
        sleep(ttl / 3).await;
        let url = shared.url(rng.draw());
        if renew(&url, &mut lease, shared).await == Some(false) {
            break;
        }
        look(&key, number, &mut lease, rng, shared).await;
    }
    // Nobody renews it any longer.
    let bound = shared.plan.lease_bound.unwrap_or_default();
    let give_up = shared.now() + u64::try_from((2 * ttl + bound + PATIENCE).as_nanos()).unwrap();
    while shared.now() < give_up {
        sleep(LOOK).await;
        if look(&key, number, &mut lease, rng, shared).await == Some(false) {
            break;
        }
    }
    shared.record_lease(lease);
}

/// Renews it at a member; whether it is there, if the member tells.
async fn renew(url: &str, lease: &mut LeaseRun, shared: &Shared) -> Option<bool> {
    let mut client = LeaseClient::new(connect(url).await?);
    let invoked = shared.now();
    let (requests, receiver) = mpsc::channel(1);
    requests
        .send(LeaseKeepAliveRequest { id: lease.id })
        .await
        .ok()?;
    let opening = client.lease_keep_alive(ReceiverStream::new(receiver));
    let answer = timeout(PATIENCE, async {
        opening.await.ok()?.into_inner().message().await.ok()?
    });
    let answer = answer.await.ok().flatten();
    let completed = shared.now();
    let alive = answer.map(|answer| answer.ttl > 0);
    if alive == Some(false) {
        lease.looks.push(Look {
            invoked,
            completed,
            alive: false,
        });
    } else {
        lease.renewals.push(Renewal {
            invoked,
            completed,
            acknowledged: alive.is_some(),
        });
    }
    alive
}

/// Looks for its key; whether it is there, if the member tells.
async fn look(
    key: &Bytes,
    number: u64,
    lease: &mut LeaseRun,
    rng: &mut Rng,
    shared: &Shared,
) -> Option<bool> {
    let url = shared.url(rng.draw());
    let mut client = kv(&url).await?;
    let call = Call::Range {
        span: Span::Key(key.clone()),
        serializable: false,
        at: 0,
    };
    let operation = perform(&mut client, &url, number, call, shared).await;
    let Outcome::Ok(answer) = &operation.outcome else {
        return None;
    };
    let alive = matches!(&answer.seen, Seen::Pairs(found) if !found.is_empty());
    lease.looks.push(Look {
        invoked: operation.invoked,
        completed: operation.completed,
        alive,
    });
    Some(alive)
}
