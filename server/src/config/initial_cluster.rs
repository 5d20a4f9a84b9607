//! The members of a cluster that is to be created: `name=url,name=url2,...`.
//!
//! Read at start-up when there is no log yet; the ids of the cluster and its members are hashes of it.

use std::collections::BTreeMap;
use std::fmt;

use super::url::Url;

/// Members by name, each with the texts of its checked and sorted peer URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialCluster {
    members: BTreeMap<String, Vec<String>>,
}

impl InitialCluster {
    /// Reads the flag's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for entry in text.split(',').filter(|entry| !entry.is_empty()) {
            let (name, url) = entry.split_once('=').unwrap_or((entry, ""));
            texts.entry(name.to_owned()).or_default().push(url);
        }
        let mut members = BTreeMap::new();
        for (name, urls) in texts {
            let mut urls = urls
                .into_iter()
                .map(Url::parse)
                .collect::<Result<Vec<_>, _>>()?;
            urls.sort();
            members.insert(name, urls.iter().map(Url::to_string).collect());
        }
        Ok(Self { members })
    }

    /// The cluster of one member.
    pub fn single(name: &str, urls: &[Url]) -> Self {
        let urls = urls.iter().map(Url::to_string).collect();
        Self {
            members: BTreeMap::from([(name.to_owned(), urls)]),
        }
    }

    /// Members in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
        self.members.iter()
    }

    /// The peer URLs of one member.
    pub fn urls(&self, name: &str) -> Option<&[String]> {
        self.members.get(name).map(Vec::as_slice)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether two members (or one member twice) use the same URL.
    pub(crate) fn has_duplicate_url(&self) -> bool {
        let mut all: Vec<&String> = self.members.values().flatten().collect();
        all.sort();
        all.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// What etcd verifies before a member joins: it is part of the cluster, and no URL is used twice.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn verify_join(&self, name: &str) -> Result<(), String> {
        if !self.members.contains_key(name) {
            return Err(format!(
                "couldn't find local name {name:?} in the initial cluster configuration"
            ));
        }
        if self.has_duplicate_url() {
            return Err(format!("initial cluster {self} has duplicate url"));
        }
        Ok(())
    }

    /// What etcd verifies before it creates a cluster: this member is part of it, under exactly the
    /// URLs it advertises, and no URL is used twice.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn verify(&self, name: &str, advertised: &[Url]) -> Result<(), String> {
        self.verify_join(name)?;
        let advertised: Vec<String> = advertised.iter().map(Url::to_string).collect();
        let mine = self.urls(name).unwrap_or_default();
        if mine == advertised {
            return Ok(());
        }
        if let Some(missing) = mine.iter().find(|url| !advertised.contains(url)) {
            return Err(format!(
                "--initial-cluster has {name}={missing} but missing from \
                 --initial-advertise-peer-urls={}",
                advertised.join(",")
            ));
        }
        let extra = advertised.into_iter().filter(|url| !mine.contains(url));
        Err(format!(
            "--initial-advertise-peer-urls has {} but missing from --initial-cluster={self}",
            extra.collect::<Vec<_>>().join(",")
        ))
    }
}

impl fmt::Display for InitialCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (name, urls) in &self.members {
            for url in urls {
                if !first {
                    f.write_str(",")?;
                }
                first = false;
                write!(f, "{name}={url}")?;
            }
        }
        Ok(())
    }
}
