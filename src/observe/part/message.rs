//! How a part of a Kubernetes object is told: the fields that are read, with their numbers in Kubernetes' protobuf and their
//! names in its JSON, and what they are in the whole object. Never tells apart what is absent from what is empty, as the API
//! server does not for the fields that are read.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource as written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Messages with the fields that are read of a Kubernetes type: `Part of Whole { ... }`.
macro_rules! messages {
    ($($name:ident of $whole:ty { $($(#[$about:meta])+ $field:ident: $kind:ty,)+ })+) => {$(
        #[allow(clippy::struct_field_names, reason = "names are Kubernetes'")]
        #[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {$(
            $(#[$about])+
            #[serde(
                skip_serializing_if = "super::message::is_absent",
                deserialize_with = "super::message::or_default"
            )]
            pub $field: $kind,
        )+}

        impl super::message::Whole<$whole> for $name {
            #[allow(clippy::needless_update, reason = "of some types every field is read")]
            fn whole(self) -> $whole {
                type Whole = $whole;
                Whole { $($field: self.$field.whole(),)+ ..Whole::default() }
            }
        }
    )+};
}
pub(super) use messages;

/// What is the same in the whole object.
pub trait Whole<T> {
    /// As the whole object has it.
    fn whole(self) -> T;
}

/// Whether the API server would leave the field out of JSON.
pub(super) fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is null counts as absent.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Plain values: as they are, and absent where they are empty.
macro_rules! plain {
    ($($plain:ty),+) => {$(
        impl Whole<$plain> for $plain {
            fn whole(self) -> $plain {
                self
            }
        }

        impl Whole<Option<$plain>> for $plain {
            fn whole(self) -> Option<$plain> {
                (!is_absent(&self)).then_some(self)
            }
        }
    )+};
}

plain!(String, bool, i32, i64);

impl<T: Whole<U>, U> Whole<Option<U>> for Option<T> {
    fn whole(self) -> Option<U> {
        self.map(T::whole)
    }
}

impl<T: Whole<U>, U> Whole<Vec<U>> for Vec<T> {
    fn whole(self) -> Vec<U> {
        self.into_iter().map(T::whole).collect()
    }
}

impl<T: Whole<U>, U> Whole<Option<Vec<U>>> for Vec<T> {
    fn whole(self) -> Option<Vec<U>> {
        (!self.is_empty()).then(|| self.whole())
    }
}

impl<T: Whole<U>, U> Whole<Option<BTreeMap<String, U>>> for BTreeMap<String, T> {
    fn whole(self) -> Option<BTreeMap<String, U>> {
        (!self.is_empty()).then(|| self.into_iter().map(|(key, value)| (key, value.whole())).collect())
    }
}

/// Something of which only counts whether it is there.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
pub struct There {}

impl<T: Default> Whole<T> for There {
    fn whole(self) -> T {
        T::default()
    }
}

/// A time to the second, as the API server keeps it (upstream `meta/v1` `Time`); the zero time is none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

impl Time {
    fn told(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_second(self.seconds).ok().filter(|_| self.seconds != 0)
    }
}

impl Whole<Option<meta::Time>> for Time {
    fn whole(self) -> Option<meta::Time> {
        self.told().map(meta::Time)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.told().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(deserializer).map(|time| Self { seconds: time.as_second() })
    }
}

/// A quantity as it is written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Quantity {
    #[prost(string, tag = "1")]
    written: String,
}

impl Whole<written::Quantity> for Quantity {
    fn whole(self) -> written::Quantity {
        written::Quantity(self.written)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|written| Self { written })
    }
}
