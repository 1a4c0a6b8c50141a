//! `serde_json`: parses a generated document into typed records and into a dynamic value, changes
//! it, and writes it out again.

use guest_crates::{Random, WORDS, measure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// One record of the document.
#[derive(Serialize, Deserialize)]
struct Record {
    id: u64,
    name: String,
    score: f64,
    active: bool,
    tags: Vec<String>,
    position: Option<[f64; 3]>,
    counts: BTreeMap<String, i64>,
}

fn record(random: &mut Random, id: u64) -> Record {
    let fraction = |random: &mut Random| random.below(1_000_000) as f64 / 1024.0 - 300.0;
    Record {
        id,
        name: format!("{} \"{}\"\n", random.choose(&WORDS), random.choose(&WORDS)),
        score: fraction(random),
        active: random.below(2) == 1,
        tags: (0..random.below(6)).map(|_| random.choose(&WORDS).to_owned()).collect(),
        position: (random.below(3) > 0).then(|| [fraction(random), fraction(random), fraction(random)]),
        counts: (0..random.below(5))
            .map(|_| (random.choose(&WORDS).to_owned(), random.next_word() as i64 >> 20))
            .collect(),
    }
}

fn main() -> ExitCode {
    let mut random = Random::new(1);
    let records: Vec<Record> = (0..2_000).map(|id| record(&mut random, id)).collect();
    let text = serde_json::to_string(&records).expect("records hold nothing that JSON lacks");
    measure(50, |index, checksum| {
        let mut typed: Vec<Record> = serde_json::from_str(&text).expect("the text was just written");
        for record in &mut typed {
            record.score += index as f64;
            record.tags.push(record.name.clone());
        }
        let written = serde_json::to_string(&typed).expect("records hold nothing that JSON lacks");
        let mut dynamic: Value = serde_json::from_str(&written).expect("the text was just written");
        if let Some(items) = dynamic.as_array_mut() {
            for item in items {
                item["extra"] = json!({"round": index, "size": item["tags"].as_array().map(Vec::len)});
            }
        }
        let pretty = serde_json::to_vec_pretty(&dynamic).expect("a value can always be written");
        checksum.word(pretty.len() as u64);
        checksum.bytes(&pretty[..4096]);
        checksum.bytes(&pretty[pretty.len() - 4096..]);
    })
}
