//! Per-method counters of the gRPC server, resolved once instead of by label at every call.

use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::registrar::Registrar;
use crate::rpc::{Code, Method};

/// Every code of gRPC, in order of their numbers.
pub(super) const CODES: [Code; 17] = [
    Code::Ok,
    Code::Canceled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

/// The gRPC server's series.
#[derive(Debug)]
pub(crate) struct GrpcMetrics {
    received_bytes: IntCounter,
    sent_bytes: IntCounter,
    methods: Vec<MethodMetrics>,
}

/// The series of one method.
#[derive(Debug)]
pub(crate) struct MethodMetrics {
    started: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    handled: Vec<IntCounter>,
    handling: Option<Histogram>,
}

impl GrpcMetrics {
    pub(super) fn new(r: &Registrar, extensive: bool) -> Self {
        let labels = ["grpc_type", "grpc_service", "grpc_method"];
        let with_code = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
        let started = r.counters("grpc_server_started_total", "Calls begun.", &labels);
        let received = r.counters(
            "grpc_server_msg_received_total",
            "Messages received.",
            &labels,
        );
        let sent = r.counters("grpc_server_msg_sent_total", "Messages sent.", &labels);
        let handled = r.counters(
            "grpc_server_handled_total",
            "Calls ended, by code.",
            &with_code,
        );
        let handling = extensive.then(|| {
            r.histograms(
                "grpc_server_handling_seconds",
                "Time of a call.",
                &labels,
                None,
            )
        });
        let methods = Method::ALL.iter().map(|method| {
            let values = [method.kind().label(), method.service(), method.name()];
            let [kind, service, name] = values;
            MethodMetrics {
                started: started.with_label_values(&values),
                received: received.with_label_values(&values),
                sent: sent.with_label_values(&values),
                handled: CODES
                    .iter()
                    .map(|code| handled.with_label_values(&[kind, service, name, code.name()]))
                    .collect(),
                handling: handling.as_ref().map(|vec| vec.with_label_values(&values)),
            }
        });
        Self {
            methods: methods.collect(),
            received_bytes: r.counter(
                "etcd_network_client_grpc_received_bytes_total",
                "Bytes of messages received from gRPC clients.",
            ),
            sent_bytes: r.counter(
                "etcd_network_client_grpc_sent_bytes_total",
                "Bytes of messages sent to gRPC clients.",
            ),
        }
    }

    /// The series of one method.
    pub(crate) fn method(&self, method: Method) -> &MethodMetrics {
        // `Method::ALL` lists the variants in their order (a test compares the two).
        &self.methods[method as usize]
    }

    /// A message of a client arrived.
    pub(crate) fn received_bytes(&self, bytes: usize) {
        self.received_bytes.inc_by(bytes as u64);
    }

    /// A message was handed to the connection.
    pub(crate) fn sent_bytes(&self, bytes: usize) {
        self.sent_bytes.inc_by(bytes as u64);
    }
}

impl MethodMetrics {
    /// A call begins.
    pub(crate) fn started(&self) {
        self.started.inc();
    }

    /// A message of the client was read.
    pub(crate) fn received(&self) {
        self.received.inc();
    }

    /// A message went to the client.
    pub(crate) fn sent(&self) {
        self.sent.inc();
    }

    /// The call ended with this code.
    pub(crate) fn handled(&self, code: Code, took: Duration) {
        self.handled[code as usize].inc();
        if let Some(histogram) = &self.handling {
            histogram.observe(took.as_secs_f64());
        }
    }
}
