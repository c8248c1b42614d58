//! Ways along the indexes of `instances`. Each is one statement that is stepped as far as a page needs it; `INDEXED BY` makes
//! SQLite refuse it rather than look through the whole table.

use std::ops::ControlFlow;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::error::Failure;
use super::reader::unsigned;
use crate::core::ids::{InstanceId, InstanceKey};
use crate::core::record::Status;
use crate::core::time::Timestamp;
use crate::store::listing::{Passed, Path, Walk};
use crate::store::{InstanceOrder, Place};

/// The children of ?1, after ?2.
pub(super) const CHILDREN: &str = "SELECT key, record FROM instances INDEXED BY instances_by_parent
    WHERE parent = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

/// Goes along an index until the visitor has seen enough.
pub(super) fn walk(
    connection: &Connection,
    walk: &Walk<'_>,
    visit: &mut dyn FnMut(Passed) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let (sql, parameters) = statement(walk);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(2)?;
        if let Path::Ids { prefix, .. } = &walk.path
            && !id.starts_with(prefix)
        {
            break;
        }
        let passed = Passed {
            key: InstanceKey(unsigned(row.get(0)?)),
            place: Place { time: Timestamp::from_micros(row.get(1)?), id: InstanceId::trusted(&id) },
            fits: row.get(3)?,
            status: row.get(4)?,
        };
        if visit(passed)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The statement that goes a way: key, time, id, whether the filter's statuses and times fit, and the status that led there. Where the index itself sees to
/// those, the rest of the row is not read.
pub(super) fn statement(walk: &Walk<'_>) -> (String, Vec<Value>) {
    let filter = walk.filter;
    let mut parameters = Parameters::default();
    match &walk.path {
        Path::Ids { from, inclusive, .. } => {
            let compare = if *inclusive { ">=" } else { ">" };
            let from = parameters.add(from.as_str().to_owned());
            let mut fits = Vec::new();
            if !filter.statuses.is_empty() {
                let mask = filter.statuses.iter().fold(0, |mask, status| mask | 1_i64 << wire(*status));
                fits.push(format!("({} >> status) & 1", parameters.add(mask)));
            }
            parameters.within("created_at", filter.created_from, filter.created_to, &mut fits);
            parameters.within("completed_at", filter.completed_from, filter.completed_to, &mut fits);
            let fits = all_of(&fits);
            let index = "sqlite_autoindex_instances_1";
            let sql = format!(
                "SELECT key, 0, id, {fits}, NULL FROM instances INDEXED BY {index} WHERE id {compare} {from} ORDER BY id"
            );
            (sql, parameters.0)
        }
        Path::Times { by, statuses, from: (time, id), last } => {
            let (time, id) = (parameters.add(time.as_micros()), parameters.add(id.clone()));
            let last = parameters.add(last.as_micros());
            let mut fits = Vec::new();
            let (index, column, condition) = match by {
                InstanceOrder::Created => {
                    parameters.within("completed_at", filter.completed_from, filter.completed_to, &mut fits);
                    ("instances_by_creation", "created_at", "")
                }
                InstanceOrder::Completed => {
                    parameters.within("created_at", filter.created_from, filter.created_to, &mut fits);
                    ("instances_by_end", "completed_at", "completed_at IS NOT NULL AND")
                }
            };
            let fits = all_of(&fits);
            // Each status is a way of its own; SQLite merges them as it goes, without sorting.
            let mut ways = Vec::new();
            for status in statuses {
                let status = parameters.add(wire(*status));
                ways.push(format!(
                    "SELECT key, {column} AS time, id, {fits}, status FROM instances INDEXED BY {index}
                    WHERE status = {status} AND ({column}, id) > ({time}, {id}) AND {column} <= {last}
                    AND {condition} substr(id, 1, 1) <> '@'"
                ));
            }
            (format!("{} ORDER BY time, id", ways.join(" UNION ALL ")), parameters.0)
        }
    }
}

/// The values of a statement's parameters, which are numbered from 1.
#[derive(Default)]
struct Parameters(Vec<Value>);

impl Parameters {
    fn add(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("?{}", self.0.len())
    }

    /// Conditions that a time lies between two others.
    fn within(&mut self, column: &str, from: Option<Timestamp>, to: Option<Timestamp>, conditions: &mut Vec<String>) {
        if let Some(from) = from {
            conditions.push(format!("{column} >= {}", self.add(from.as_micros())));
        }
        if let Some(to) = to {
            conditions.push(format!("{column} < {}", self.add(to.as_micros())));
        }
    }
}

fn all_of(conditions: &[String]) -> String {
    // Of a time that is not there nothing is true.
    if conditions.is_empty() { "1".to_owned() } else { format!("coalesce({}, 0)", conditions.join(" AND ")) }
}

fn wire(status: Status) -> i64 {
    i64::from(i32::from(status.to_wire()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::InstanceFilter;
    use crate::store::sqlite::{SqliteOptions, SqliteStore};

    /// Every combination of what a filter can say.
    fn filters() -> Vec<InstanceFilter> {
        let time = Some(Timestamp::from_micros(1));
        let mut filters = Vec::new();
        for said in 0..1 << 6 {
            let says = |bit: u32| said >> bit & 1 == 1;
            filters.push(InstanceFilter {
                statuses: if says(0) { vec![Status::Failed, Status::Running] } else { Vec::new() },
                created_from: time.filter(|_| says(1)),
                created_to: time.filter(|_| says(2)),
                completed_from: time.filter(|_| says(3)),
                completed_to: time.filter(|_| says(4)),
                id_prefix: says(5).then(|| "a".to_owned()),
            });
        }
        filters
    }

    fn plan(connection: &Connection, sql: &str, parameters: Vec<Value>) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("SQLite takes it");
        let steps = statement.query_map(params_from_iter(parameters), |row| row.get(3)).expect("it is explained");
        steps.collect::<Result<_, _>>().expect("each step is a text")
    }

    #[test]
    fn no_listing_looks_through_a_whole_table_or_sorts() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::create(&folder.path().join("hub.db"), SqliteOptions::default()).expect("it is made");
        let place = Place { time: Timestamp::from_micros(5), id: InstanceId::trusted("abc") };
        let explained = store.readers.read(|rows| {
            let mut explained = 0;
            for filter in filters() {
                for order in [InstanceOrder::Created, InstanceOrder::Completed] {
                    for after in [None, Some(&place)] {
                        let Some(walk) = Walk::new(&filter, order, after) else { continue };
                        let (sql, parameters) = statement(&walk);
                        let plan = plan(rows.connection, &sql, parameters);
                        let way = match &walk.path {
                            Path::Ids { .. } => "INDEX sqlite_autoindex_instances_1 (id>?)",
                            Path::Times { by: InstanceOrder::Created, .. } => {
                                "INDEX instances_by_creation (status=? AND (created_at,id)>(?,?) AND created_at<?)"
                            }
                            Path::Times { by: InstanceOrder::Completed, .. } => {
                                "INDEX instances_by_end (status=? AND (completed_at,id)>(?,?) AND completed_at<?)"
                            }
                        };
                        let merges = |step: &str| step.starts_with("MERGE") || step == "LEFT" || step == "RIGHT";
                        let step = |step: &String| merges(step) || step.starts_with("SEARCH") && step.ends_with(way);
                        assert!(plan.iter().all(step), "{sql}: {plan:#?}");
                        explained += 1;
                    }
                }
            }
            let plan = plan(rows.connection, CHILDREN, vec!["p".to_owned().into(), "a".to_owned().into(), 10.into()]);
            assert_eq!(plan, ["SEARCH instances USING INDEX instances_by_parent (parent=? AND id>?)"]);
            Ok(explained)
        });
        assert!(explained.expect("it can be read") > 200);
    }
}
