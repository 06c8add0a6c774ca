//! A snapshot is read to the same result however it is cut into pieces, the result is bounded, and
//! a node that resumes from it writes a snapshot with the same members.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat::serf::{Config, Core, Past, SnapshotReader};
use sprat::time::Time;
use sprat::wire::Codec;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let Some((&control, bytes)) = bytes.split_first() else {
        return;
    };
    let rejoins = control & 1 == 1;
    let past = read(rejoins, &[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(1 + usize::from(control >> 1)).collect();
    assert_eq!(read(rejoins, &pieces), past);
    assert!(past.len <= bytes.len() as u64);
    assert!(past.members.len() + past.unreadable as usize <= bytes.len());
    // A file of this length is replaced at the first write.
    let long = Past {
        len: 1 << 40,
        ..past.clone()
    };
    let config = Config {
        past: Some(long),
        ..Config::default()
    };
    let (name, addr) = ("this node".into(), ([10, 0, 0, 1], 7946).into());
    let core = Core::new(config, Codec::default(), name, addr, [0; 32], Time::ZERO);
    let core = core.expect("the settings are legal");
    let later = Time::ZERO + Duration::from_secs(1);
    let Some(write) = core.snapshot_write(later) else {
        return; // the numbers in the file cannot grow any more
    };
    assert!(write.replaces);
    let mut again = read(false, &[&write.bytes]);
    assert_eq!(again.unreadable, 0);
    let mut members = past.members;
    members.remove("this node");
    again.members.remove("this node");
    assert_eq!(again.members, members);
});

fn read(rejoins: bool, pieces: &[&[u8]]) -> Past {
    let mut reader = SnapshotReader::new(rejoins);
    pieces.iter().for_each(|piece| reader.read(piece));
    reader.finish()
}
