//! Which instances a scale set adds and takes away: zones stay balanced, then the highest number goes. Never acts.

use std::collections::BTreeMap;

use crate::{Instance, NewInstance};

/// The instances that go when `how_many` must. As Azure does by default: from the zone that has most, there the
/// highest number. What was cordoned is not preferred.
pub(crate) fn choose(present: &[Instance], how_many: usize) -> Vec<Instance> {
    let mut zones: BTreeMap<Option<&str>, Vec<&Instance>> = BTreeMap::new();
    for instance in present {
        zones.entry(instance.zone.as_deref()).or_default().push(instance);
    }
    for instances in zones.values_mut() {
        instances.sort_by_key(|instance| instance.number);
    }
    let mut victims = Vec::new();
    while victims.len() < how_many {
        let fullest = zones.values_mut().max_by_key(|zone| (zone.len(), zone.last().map(|instance| instance.number)));
        match fullest.and_then(Vec::pop) {
            Some(victim) => victims.push(victim.clone()),
            None => break,
        }
    }
    victims
}

/// The instances that come when `how_many` must, numbered from `first`: each into the zone that has fewest.
pub(crate) fn spread(present: &[Instance], zones: &[String], first: u64, how_many: usize) -> Vec<NewInstance> {
    let mut sizes: Vec<(usize, &String)> = zones
        .iter()
        .map(|zone| {
            let size = present.iter().filter(|instance| instance.zone.as_ref() == Some(zone)).count();
            (size, zone)
        })
        .collect();
    (first..)
        .take(how_many)
        .map(|number| {
            let zone = sizes.iter_mut().min_by_key(|(size, _)| *size);
            NewInstance {
                number,
                zone: zone.map(|(size, zone)| {
                    *size += 1;
                    zone.clone()
                }),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances(list: &[(u64, &str)]) -> Vec<Instance> {
        list.iter()
            .map(|(number, zone)| Instance {
                name: format!("n{number}"),
                number: *number,
                zone: (!zone.is_empty()).then(|| (*zone).to_owned()),
                ready: true,
                addresses: Vec::new(),
            })
            .collect()
    }

    #[test]
    fn the_fullest_zone_gives_first_and_there_the_highest_number() {
        for (present, how_many, expected) in [
            (&[(0, ""), (1, ""), (2, "")][..], 2, &[2, 1][..]),
            (&[(0, "1"), (1, "1"), (5, "2")], 1, &[1]),
            (&[(0, "1"), (1, "2"), (2, "3"), (3, "1")], 2, &[3, 2]),
            (&[(7, "1"), (3, "2")], 1, &[7]),
            (&[(0, "")], 5, &[0]),
            (&[], 1, &[]),
        ] {
            let numbers: Vec<u64> =
                choose(&instances(present), how_many).iter().map(|instance| instance.number).collect();
            assert_eq!(numbers, expected, "{present:?} minus {how_many}");
        }
    }

    #[test]
    fn new_instances_fill_the_emptiest_zone() {
        let zones = ["1".to_owned(), "2".to_owned(), "3".to_owned()];
        let new = spread(&instances(&[(0, "1"), (1, "2")]), &zones, 2, 4);
        let placed: Vec<_> = new.iter().map(|new| (new.number, new.zone.clone().unwrap())).collect();
        assert_eq!(placed, [(2, "3".to_owned()), (3, "1".to_owned()), (4, "2".to_owned()), (5, "3".to_owned())]);
        assert_eq!(spread(&[], &[], 0, 1).first().unwrap().zone, None);
    }
}
