//! A row of the table of settings: everything that is known about one setting.
//!
//! The documentation, the C header, the Python types and the checks are made from these rows, so
//! they cannot differ. A row also knows the place of its value in [`Settings`]: it reads text into
//! that place, writes the value as text, and puts the default of a profile there. The macro
//! [`rows`] makes the rows from the entries of the table.

use super::types::Profile;
use super::value::{Amount, Reason, Value};
use super::values::Settings;
use crate::vocabulary::SettingType;
use std::ops::RangeInclusive;

/// Everything that is known about one setting; [`settings()`](super::settings()) lists all of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// The name, as [`Config::set`](super::Config::set) takes it. `KEY` in the names `tag.KEY` and
    /// `filter.tag.KEY` stands for the key of a tag.
    pub name: &'static str,
    /// The type.
    pub kind: SettingType,
    /// The unit of a number, such as "ms" or "bytes"; empty if it has none.
    pub unit: &'static str,
    /// The bounds of a number.
    pub range: Option<RangeInclusive<u64>>,
    /// A description of the setting.
    pub help: &'static str,
    /// True if the setting can be changed while a node runs.
    pub changeable: bool,
    /// Describes the allowed values.
    pub(super) describe: fn(&Setting) -> String,
    /// The place of its value in [`Settings`]; `None` for `tag.KEY` and `filter.tag.KEY`, which
    /// stand for many values.
    pub(super) place: Option<Place>,
}

/// The functions by which a row reaches the place of its value in [`Settings`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) read: fn(&mut Settings, &Setting, &str) -> Result<(), Reason>,
    pub(super) check: fn(&Settings, &Setting) -> Result<(), Reason>,
    pub(super) write: fn(&Settings) -> String,
    pub(super) reset: fn(&mut Settings, Profile),
}

impl Setting {
    /// The allowed values in words, such as "10 to 600000".
    pub fn allowed(&self) -> String {
        (self.describe)(self)
    }

    /// The default in this profile, as text; empty if the setting is not set by default.
    pub fn default(&self, profile: Profile) -> String {
        let Some(place) = self.place else {
            return String::new();
        };
        let mut settings = Settings::default();
        (place.reset)(&mut settings, profile);
        (place.write)(&settings)
    }

    /// The defaults of all profiles, such as "1000, wan 5000": first the default of the profile
    /// lan, then the defaults that differ from it. Empty if the setting is not set by default.
    pub fn defaults(&self) -> String {
        let lan = self.default(Profile::Lan);
        let others = [Profile::Wan, Profile::Local];
        let others = others.map(|profile| (profile.name(), self.default(profile)));
        let others = others.iter().filter(|(_, default)| *default != lan);
        others.fold(lan.clone(), |text, (name, default)| {
            format!("{text}, {name} {default}")
        })
    }

    /// Checks that a number lies within the bounds.
    pub(super) fn check_number(&self, number: u64) -> Result<(), Reason> {
        let range = self.range.as_ref();
        let fits = range.is_none_or(|range| range.contains(&number));
        fits.then_some(()).ok_or_else(Reason::new)
    }
}

/// Reads a value and checks it.
pub(super) fn read_value<T: Value>(text: &str) -> Result<T, Reason> {
    let value = T::read(if T::KEEPS_SPACE { text } else { text.trim() })?;
    value.check()?;
    Ok(value)
}

/// Reads an amount and checks it against the bounds of the setting.
pub(super) fn read_amount<T: Amount>(setting: &Setting, text: &str) -> Result<T, Reason> {
    let number = text.trim().parse::<u64>().map_err(|_| Reason::new())?;
    setting.check_number(number)?;
    Ok(T::from_number(number))
}

/// Returns the type of the setting at this place.
pub(super) const fn type_of<T: Value>(_: fn(&Settings) -> &T) -> SettingType {
    T::TYPE
}

/// Returns the type of the amount at this place.
pub(super) const fn type_of_amount<T: Amount>(_: fn(&Settings) -> &T) -> SettingType {
    T::TYPE
}

/// Returns the function that describes the values allowed at this place.
pub(super) const fn allowed_in<T: Value>(_: fn(&Settings) -> &T) -> fn(&Setting) -> String {
    |_| T::allowed()
}

/// Describes the numbers between the bounds.
pub(super) fn allowed_amounts(setting: &Setting) -> String {
    let range = setting.range.as_ref();
    range.map_or_else(String::new, |range| {
        format!("{} to {}", range.start(), range.end())
    })
}

/// Makes a row from each entry of the table. An entry is one of these:
///
/// ```text
/// "name" => place = default, [setter(Type)] "help";
/// "name" => place: lan, wan, local in min..=max "unit", [setter(Type)] "help";
/// ```
macro_rules! rows {
    (@row $name:literal $help:literal $($at:ident).+ = $default:expr) => {
        Setting {
            name: $name,
            kind: type_of(|settings| &settings.$($at).+),
            unit: "",
            range: None,
            help: $help,
            changeable: false,
            describe: allowed_in(|settings| &settings.$($at).+),
            place: Some(Place {
                read: |settings, _, text| {
                    settings.$($at).+ = read_value(text)?;
                    Ok(())
                },
                check: |settings, _| settings.$($at).+.check(),
                write: |settings| settings.$($at).+.write(),
                reset: |settings, _| settings.$($at).+ = $default,
            }),
        }
    };
    (@row $name:literal $help:literal $($at:ident).+: $lan:literal $wan:literal $local:literal
     $min:literal $max:literal $unit:literal) => {
        Setting {
            name: $name,
            kind: type_of_amount(|settings| &settings.$($at).+),
            unit: $unit,
            range: Some($min..=$max),
            help: $help,
            changeable: false,
            describe: allowed_amounts,
            place: Some(Place {
                read: |settings, setting, text| {
                    settings.$($at).+ = read_amount(setting, text)?;
                    Ok(())
                },
                check: |settings, setting| setting.check_number(settings.$($at).+.number()),
                write: |settings| settings.$($at).+.number().to_string(),
                reset: |settings, profile| {
                    let default = [$lan, $wan, $local][profile as usize];
                    settings.$($at).+ = Amount::from_number(default);
                },
            }),
        }
    };
    ($(
        $name:literal => $($at:ident).+
        $(: $lan:literal, $wan:literal, $local:literal
          in $min:literal..=$max:literal $unit:literal)?
        $(= $default:expr)?,
        [$setter:ident($type:ty)]
        $help:literal;
    )* + $($others:expr),*) => {
        &[
            $(rows!(@row $name $help $($at).+
                $(: $lan $wan $local $min $max $unit)? $(= $default)?),)*
            $($others,)*
        ]
    };
}
pub(super) use rows;
