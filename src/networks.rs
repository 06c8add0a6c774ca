//! Lists of allowed networks, as settings contain them.

use ipnet::IpNet;
use std::net::IpAddr;

/// Returns true if the address is in one of these networks, or if the list is empty.
pub(crate) fn allow(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|it| it.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_allows_every_address() {
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let list = |text: &str| vec![text.parse::<IpNet>().unwrap()];
        assert!(allow(&[], ip) && allow(&list("10.0.0.0/8"), ip));
        assert!(!allow(&list("192.168.0.0/16"), ip));
    }
}
