//! Odd templates, and bulk changes of pools that are there or not, now or at any time. Never judges.

use std::sync::Arc;

use arbitrary::{Arbitrary, Result};
use nodepool_kernel::{BulkChange, BulkKind, FieldKind, FieldValue, Known, TEMPLATE_FIELDS, Template, Time};

use crate::strange::{Input, NAMES, known, one, time};

/// Odd words in some fields.
pub fn template(input: Input<'_, '_>) -> Result<Arc<Template>> {
    let (bits, word) =
        (u128::arbitrary(input)?, one(input, &["Standard_B1s", "", "/x/subnets/y", "é9_", "Standard_D4ps_v5"])?);
    let flag = bits & 1 == 1;
    Ok(Arc::new(Template::from_fields(|field| {
        let index = TEMPLATE_FIELDS.iter().position(|other| other == field)?;
        let value =
            if flag && field.kind == FieldKind::Flag { FieldValue::Flag(true) } else { FieldValue::Text(word.clone()) };
        (bits >> index & 1 == 1).then_some(value)
    })))
}

/// A few bulk changes, mostly of the last hour.
pub fn bulk(input: Input<'_, '_>, now: Time) -> Result<Known<Vec<BulkChange>>> {
    let mut changes = Vec::new();
    for _ in 0..input.int_in_range(0..=4_u8)? {
        changes.push(BulkChange {
            pool: one(input, &NAMES)?,
            policy: one(input, &["p", "q", ""])?,
            kind: *input.choose(&BulkKind::ALL)?,
            at: if input.ratio(1, 2)? { time(input)? } else { now },
            told: one(input, &["2026-11-21T23:10:00Z", ""])?,
        });
    }
    known(input, now, changes)
}
