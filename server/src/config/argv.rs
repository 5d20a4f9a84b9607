//! From what was typed to what clap reads: Go's flag syntax, the environment, known refusals.
//!
//! Go takes `-name x`, `--name x`, `-name=x`; a boolean takes a value only behind `=`. The result is a
//! list of `--name=value`, each flag at most once from the environment and as often as it was typed.

use std::collections::{BTreeMap, BTreeSet};

use clap::{ArgAction, Command, CommandFactory};

use super::error::ConfigError;
use super::flags::Flags;
use super::known;

/// Something the operator should know that is no reason not to start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A flag or its variable is accepted and has no effect, as in etcd.
    Ignored(String),
    /// A variable starts with `ETCD_` and names no flag.
    UnknownVariable(String),
    /// A flag was given under its experimental name.
    OldName {
        /// The name as given.
        given: String,
        /// The name to use.
        current: String,
    },
    /// A value is legal and unwise.
    Unwise(String),
}

/// What clap gets, and what was noticed on the way.
#[derive(Debug)]
pub(crate) struct Normalised {
    pub args: Vec<String>,
    pub warnings: Vec<Warning>,
}

/// One flag clap knows.
#[derive(Debug, Clone)]
struct Known {
    name: String,
    boolean: bool,
}

/// Every flag we honour, under each of its names.
fn table(command: &Command) -> BTreeMap<String, Known> {
    let mut table = BTreeMap::new();
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long() else { continue };
        let boolean = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Help)
            || arg.is_require_equals_set();
        let known = Known {
            name: name.to_owned(),
            boolean,
        };
        table.insert(name.to_owned(), known.clone());
        for alias in arg.get_all_aliases().unwrap_or_default() {
            table.insert(alias.to_owned(), known.clone());
        }
    }
    table.insert(
        "help".to_owned(),
        Known {
            name: "help".to_owned(),
            boolean: true,
        },
    );
    table.insert(
        "h".to_owned(),
        Known {
            name: "help".to_owned(),
            boolean: true,
        },
    );
    table
}

/// The environment variable of a flag.
pub(crate) fn variable_of(flag: &str) -> String {
    format!("ETCD_{}", flag.to_ascii_uppercase().replace('-', "_"))
}

/// Turns `args` (without the program's name) and the environment into clap's arguments.
pub(crate) fn normalise(
    args: &[String],
    variables: &[(String, String)],
) -> Result<Normalised, ConfigError> {
    let table = table(&Flags::command());
    let mut warnings = Vec::new();
    let mut typed = Vec::new();
    let mut given = BTreeSet::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(body) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
            return Err(stray(arg));
        };
        if body.is_empty() {
            // Go stops reading flags here, and a stray argument is refused.
            match rest.next() {
                Some(next) => return Err(stray(next)),
                None if arg == "-" => return Err(stray(arg)),
                None => break,
            }
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(ConfigError::Usage(format!("bad flag syntax: {arg}")));
        }
        given.insert(name.to_owned());
        if known::ignored(name) {
            warnings.push(Warning::Ignored(name.to_owned()));
            continue;
        }
        let unsupported = known::unsupported(name);
        let boolean = match (table.get(name), unsupported) {
            (Some(known), _) => known.boolean,
            (None, Some(unsupported)) => unsupported.boolean,
            (None, None) => {
                // clap refuses it, with a hint when a name is near; what follows cannot be told apart.
                typed.push(format!("--{name}"));
                break;
            }
        };
        let value = match value {
            Some(value) => value.to_owned(),
            None if boolean => "true".to_owned(),
            None => match rest.next() {
                Some(next) => next.clone(),
                None => {
                    return Err(ConfigError::Usage(format!(
                        "flag needs an argument: -{name}"
                    )));
                }
            },
        };
        if let Some(unsupported) = unsupported {
            refuse_unless_honoured(unsupported, &value)?;
            continue;
        }
        if let Some(known) = table.get(name) {
            if known.name != name && known.name != "help" {
                warnings.push(Warning::OldName {
                    given: name.to_owned(),
                    current: known.name.clone(),
                });
            }
            typed.push(plain(known, &value));
        }
    }
    let mut merged = from_environment(&table, variables, &given, &mut warnings)?;
    merged.append(&mut typed);
    Ok(Normalised {
        args: merged,
        warnings,
    })
}

/// Arguments that stand for the environment; they come first, so that nothing typed is overridden.
fn from_environment(
    table: &BTreeMap<String, Known>,
    variables: &[(String, String)],
    given: &BTreeSet<String>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<String>, ConfigError> {
    let etcd: BTreeMap<&str, &str> = variables
        .iter()
        .filter(|(name, _)| name.starts_with("ETCD_"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut used: BTreeSet<String> = known::FOREIGN_VARIABLES
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let mut args = Vec::new();
    let honoured = table
        .iter()
        .filter(|(name, _)| name.as_str() != "h" && name.as_str() != "help");
    for (name, known) in honoured {
        let variable = variable_of(name);
        let Some(value) = etcd.get(variable.as_str()) else {
            continue;
        };
        used.insert(variable.clone());
        if given.contains(name) {
            return Err(ConfigError::Shadowed {
                variable,
                flag: name.clone(),
            });
        }
        if value.is_empty() {
            continue;
        }
        if known.name != *name {
            warnings.push(Warning::OldName {
                given: name.clone(),
                current: known.name.clone(),
            });
        }
        args.push(plain(known, value));
    }
    for unsupported in known::UNSUPPORTED {
        let variable = variable_of(unsupported.name);
        let Some(value) = etcd.get(variable.as_str()) else {
            continue;
        };
        used.insert(variable.clone());
        if given.contains(unsupported.name) {
            let flag = unsupported.name.to_owned();
            return Err(ConfigError::Shadowed { variable, flag });
        }
        if !value.is_empty() {
            refuse_unless_honoured(unsupported, value)?;
        }
    }
    for name in known::IGNORED {
        let variable = variable_of(name);
        if etcd.contains_key(variable.as_str()) {
            warnings.push(Warning::Ignored((*name).to_owned()));
            used.insert(variable);
        }
    }
    for (name, value) in etcd {
        if !used.contains(name) {
            warnings.push(Warning::UnknownVariable(format!("{name}={value}")));
        }
    }
    Ok(args)
}

/// `--name=value` under the current name. clap's own switches take no value.
fn plain(known: &Known, value: &str) -> String {
    match known.name.as_str() {
        "version" | "help" => format!("--{}", known.name),
        name => format!("--{name}={value}"),
    }
}

fn refuse_unless_honoured(
    unsupported: &known::Unsupported,
    value: &str,
) -> Result<(), ConfigError> {
    if unsupported.honoured.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::NotSupportedYet {
        flag: unsupported.name.to_owned(),
    })
}

fn stray(arg: &str) -> ConfigError {
    ConfigError::Invalid(format!("'{arg}' is not a valid flag"))
}
