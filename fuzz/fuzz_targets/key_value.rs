//! The zero-copy reader of stored pairs agrees with the decoder.
#![no_main]
use libfuzzer_sys::fuzz_target;
use varve_proto::mvccpb::KeyValue;
use varve_proto::prost::Message;
use varve_proto::wire::KeyValueView;

fuzz_target!(|data: &[u8]| {
    let (Ok(view), Ok(decoded)) = (KeyValueView::parse(data), KeyValue::decode(data)) else {
        return;
    };
    assert_eq!(view.key, &decoded.key[..]);
    assert_eq!(view.value, &decoded.value[..]);
    assert_eq!(view.mod_revision, decoded.mod_revision);
    assert_eq!(view.create_revision, decoded.create_revision);
    assert_eq!((view.version, view.lease), (decoded.version, decoded.lease));
});
