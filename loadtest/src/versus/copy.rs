//! The machine-readable copy: a line of JSON for the run, for each round, and for each scenario under the roof.
//!
//! The driver's thread. Must not sum up. Invariant: a round is written when it ends, so that a comparison that is ended early leaves
//! what it measured.

use super::roof::{Point, Roof};
use super::row::Sample;
use crate::machine::Machine;
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The file of lines, if one was asked for.
pub(super) struct Copy(Option<File>);

impl Copy {
    /// In that folder, which is made if it is not there.
    pub(super) fn create(folder: Option<&Path>) -> io::Result<Self> {
        let Some(folder) = folder else { return Ok(Self(None)) };
        fs::create_dir_all(folder)?;
        Ok(Self(Some(File::create(folder.join("versus.jsonl"))?)))
    }

    /// The run's own line.
    pub(super) fn run(&mut self, machine: &Machine, versions: &[(String, String)]) -> io::Result<()> {
        let versions: Map<String, Value> =
            versions.iter().map(|(name, version)| (name.clone(), json!(version))).collect();
        self.write(&json!({
            "kind": "run", "date": machine.date, "command": machine.command, "cores": machine.cores,
            "processor": machine.processor, "kernel": machine.kernel, "versions": versions,
        }))
    }

    /// One round.
    pub(super) fn round(
        &mut self,
        case: &str,
        server: &str,
        round: usize,
        outcome: &Result<Sample, String>,
    ) -> io::Result<()> {
        self.write(&round_value(case, server, round, outcome))
    }

    /// The points of one scenario.
    pub(super) fn roof(&mut self, roof: &Roof) -> io::Result<()> {
        let points = |points: &[Point]| -> Vec<Value> {
            let point = |it: &Point| json!({ "rate": it.rate, "frames_per_read": it.frames, "server_cpu_ns_per_delivery": it.ns });
            points.iter().map(point).collect()
        };
        self.write(&json!({
            "kind": "roof", "scenario": roof.scenario, "ours": points(&roof.ours), "bare": points(&roof.roof),
            "ratios": roof.ratios(),
        }))
    }

    fn write(&mut self, line: &Value) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |file| writeln!(file, "{line}"))
    }
}

fn round_value(case: &str, server: &str, round: usize, outcome: &Result<Sample, String>) -> Value {
    let mut value = json!({ "kind": "round", "scenario": case, "server": server, "round": round });
    match outcome {
        Err(error) => value["error"] = json!(error),
        Ok(sample) => {
            value["rate"] = json!(sample.rate);
            value["saturated"] = json!(sample.side.to_string());
            value["load_tool_saturated"] = json!(sample.side.is_the_tools());
            for (figure, number) in &sample.figures {
                value[figure.key()] = json!(number);
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::row::Side;
    use super::super::row::tests::sample;
    use super::*;
    use crate::verdict::Verdict;

    #[test]
    fn a_round_is_a_line_with_its_figures_or_its_error() {
        let good = round_value("hot", "bun", 1, &Ok(sample(8e6, Side::Beyond(Verdict::Swarm))));
        assert_eq!(good["deliveries_per_second"], json!(8e6));
        assert_eq!((&good["saturated"], &good["load_tool_saturated"]), (&json!("swarm"), &json!(true)));
        let bad = round_value("hot", "ws", 2, &Err("npm: \"no\"".to_owned()));
        assert_eq!((&bad["error"], bad.get("rate")), (&json!("npm: \"no\""), None));
    }
}
