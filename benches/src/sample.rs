//! What one round of one contestant gave, and what many of them come to.
//!
//! Samples are kept as lines of text, one a value, so that scenarios that ran apart are told of together:
//!
//! ```text
//!   ws-1k  encke  3  cpu_ns  2814.2
//!   '-------------' round    '-- a name of `scenarios`, its unit last
//! ```

use std::fs;
use std::io;
use std::path::Path;

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub scenario: String,
    pub who: String,
    pub round: usize,
    pub name: String,
    pub value: f64,
}

/// All samples that are known.
#[derive(Default)]
pub struct Samples {
    pub all: Vec<Sample>,
}

/// The middle of many values, with the least and the most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    pub value: f64,
    pub least: f64,
    pub most: f64,
}

impl Middle {
    pub fn of(mut values: Vec<f64>) -> Option<Middle> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let value =
            if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Some(Middle { value, least, most })
    }
}

impl Samples {
    pub fn add(&mut self, scenario: &str, who: &str, round: usize, name: &str, value: f64) {
        let (scenario, who, name) = (scenario.to_owned(), who.to_owned(), name.to_owned());
        self.all.push(Sample { scenario, who, round, name, value });
    }

    pub fn middle(&self, scenario: &str, who: &str, name: &str) -> Option<Middle> {
        Middle::of(self.values(scenario, who, name).into_iter().map(|(_, value)| value).collect())
    }

    /// How a contestant stands to the floor: the middle of the ratios of rounds, each of the two's same round,
    /// for whatever disturbs the machine disturbs neighbours alike.
    pub fn ratio(&self, scenario: &str, who: &str, name: &str) -> Option<Middle> {
        let floor = self.values(scenario, "floor", name);
        let own = self.values(scenario, who, name);
        let ratios = own.into_iter().filter_map(|(round, value)| {
            let (_, below) = floor.iter().find(|(other, _)| *other == round)?;
            Some(value / below)
        });
        Middle::of(ratios.collect())
    }

    fn values(&self, scenario: &str, who: &str, name: &str) -> Vec<(usize, f64)> {
        let mine = self.all.iter().filter(|s| s.scenario == scenario && s.who == who && s.name == name);
        mine.map(|s| (s.round, s.value)).collect()
    }

    /// Keeps one scenario's samples in its file.
    pub fn save(&self, folder: &Path, scenario: &str) -> io::Result<()> {
        let lines = self
            .all
            .iter()
            .filter(|s| s.scenario == scenario)
            .map(|s| format!("{}\t{}\t{}\t{}\t{:.3}\n", s.scenario, s.who, s.round, s.name, s.value));
        fs::write(folder.join(format!("{scenario}.tsv")), lines.collect::<String>())
    }

    /// All that was kept in a folder.
    pub fn load(folder: &Path) -> io::Result<Samples> {
        let mut samples = Samples::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "tsv") {
                continue;
            }
            for line in fs::read_to_string(path)?.lines() {
                let fields: Vec<&str> = line.split('\t').collect();
                if let [scenario, who, round, name, value] = fields[..] {
                    let (round, value) = (round.parse().unwrap_or(0), value.parse().unwrap_or(f64::NAN));
                    samples.add(scenario, who, round, name, value);
                }
            }
        }
        Ok(samples)
    }
}
