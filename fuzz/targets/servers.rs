//! Any answer of HAProxy to `show servers state` is refused with a message, or read line by line:
//! no line changes what another line says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sprat_haproxy::actual_servers::parse;

fuzz_target!(|bytes: &[u8]| {
    let answer = String::from_utf8_lossy(bytes);
    let servers = match parse(&answer) {
        Ok(servers) => servers,
        Err(why) => return assert!(!why.is_empty()),
    };
    let mut lines = answer.lines().skip_while(|line| !line.starts_with('#'));
    let head = lines.next().expect("an answer that was read has a head");
    let mut expected = std::collections::BTreeMap::new();
    for line in lines {
        expected.extend(parse(&format!("{head}\n{line}")).expect("the head is legal"));
    }
    assert_eq!(servers, expected);
    let is_legal = |name: &String| !name.is_empty() && !name.contains(' ');
    assert!(servers.keys().all(is_legal));
});
