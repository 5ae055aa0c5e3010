//! What a domain wants, on this host: with the configuration's profiles, and the NUMA nodes of the CPUs that it is
//! pinned to.
//!
//! Invariant: the nodes are read only when a request depends on them, and only a request that is strict about them is
//! stopped by a host whose nodes cannot be read.

use crate::{Config, Host, HostError};
use mdevkit_core::{Ask, Domain, Numa, Wants, wants};
use mdevkit_sysfs::topology::Topology;

impl Host {
    /// The devices that a domain wants.
    ///
    /// Where the domain's memory is not pinned to NUMA nodes and its CPUs are, the CPUs' nodes count.
    ///
    /// ```
    /// use mdevkit_core::Domain;
    /// use mdevkit_host::{Config, Host, Root};
    /// let host = Host::new(Root::at("/nowhere"));
    /// assert!(host.wants(&Domain::default(), &Config::default())?.wants.is_empty());
    /// # Ok::<(), mdevkit_host::HostError>(())
    /// ```
    ///
    /// # Errors
    /// The domain contradicts itself ([`HostError::Wants`]), or a request is strict about nodes that cannot be read.
    pub fn wants(&self, domain: &Domain, config: &Config) -> Result<Wants, HostError> {
        let (Some(cpus), None) = (&domain.pinning.cpus, &domain.pinning.nodes) else {
            return Ok(wants(domain, &config.profiles)?);
        };
        let numas = numas(domain, config);
        if numas.iter().all(|numa| *numa == Numa::Ignore) {
            return Ok(wants(domain, &config.profiles)?);
        }
        let nodes = match Topology::read(self.root()) {
            Ok(topology) => topology.nodes_of_cpus(cpus),
            Err(error) if numas.contains(&Numa::Strict) => return Err(error.into()),
            Err(error) => {
                log::warn!("{error}; its device may be on any NUMA node");
                return Ok(wants(domain, &config.profiles)?);
            }
        };
        let mut domain = domain.clone();
        domain.pinning.nodes = Some(nodes).filter(|nodes| !nodes.is_empty());
        Ok(wants(&domain, &config.profiles)?)
    }
}

/// How much nodes matter for each request of a domain.
fn numas(domain: &Domain, config: &Config) -> Vec<Numa> {
    let requests = domain.requests.iter().flat_map(|set| &set.requests);
    requests
        .map(|request| {
            let profile = match &request.ask {
                Ask::Profile(name) => config.profiles.get(name),
                Ask::For(_) => None,
            };
            request
                .numa
                .or_else(|| profile.and_then(|profile| profile.numa))
                .unwrap_or_default()
        })
        .collect()
}
