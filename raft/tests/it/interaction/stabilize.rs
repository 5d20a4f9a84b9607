//! Working everything off until nothing is left to do.

use super::cluster::Cluster;

impl Cluster {
    /// Handles `Ready`s, delivers messages and runs storage threads of these nodes until all is quiet.
    pub(super) fn stabilize(&mut self, nodes: &[usize]) -> Result<(), String> {
        loop {
            let mut quiet = true;
            for &at in nodes {
                if self.nodes[at].raw.has_ready() {
                    self.output.push(&format!("> {} handling Ready\n", at + 1));
                    self.indent(|cluster| cluster.process_ready(at))?;
                    quiet = false;
                }
            }
            for &at in nodes {
                let id = at as u64 + 1;
                if self.has_messages(id) {
                    self.output.push(&format!("> {id} receiving messages\n"));
                    self.indent(|cluster| {
                        for message in cluster.take_messages(id, None, false) {
                            cluster.deliver(message);
                        }
                    });
                    quiet = false;
                }
            }
            for &at in nodes {
                if !self.nodes[at].append_work.is_empty() {
                    self.output
                        .push(&format!("> {} processing append thread\n", at + 1));
                    while !self.nodes[at].append_work.is_empty() {
                        self.indent(|cluster| cluster.process_append(at))?;
                    }
                    quiet = false;
                }
            }
            for &at in nodes {
                if !self.nodes[at].apply_work.is_empty() {
                    self.output
                        .push(&format!("> {} processing apply thread\n", at + 1));
                    while !self.nodes[at].apply_work.is_empty() {
                        self.indent(|cluster| cluster.process_apply(at))?;
                    }
                    quiet = false;
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }
}
