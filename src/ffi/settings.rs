//! The list of settings, for programs that show them or check them.

use super::types::sprat_setting;
use super::{args, entry};
use crate::config::{Profile, Setting, position, settings};
use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A setting for C: the struct of the header, then the strings that it points to.
#[repr(C)]
struct SettingRecord {
    c_view: sprat_setting,
    /// The default in each profile, in the order of [`Profile::ALL`].
    defaults: [CString; Profile::ALL.len()],
    _strings: [CString; 5],
}

impl SettingRecord {
    fn new(setting: &Setting) -> SettingRecord {
        let Setting {
            name, unit, help, ..
        } = *setting;
        let texts = [name, setting.kind.name(), unit, &setting.allowed(), help];
        let strings = texts.map(args::text);
        let [name, type_name, unit, allowed, help] = strings.each_ref().map(|it| it.as_ptr());
        let range = setting.range.clone().unwrap_or(0..=0);
        SettingRecord {
            c_view: sprat_setting {
                name,
                r#type: setting.kind.number(),
                changeable: setting.changeable,
                type_name,
                unit,
                min: *range.start(),
                max: *range.end(),
                allowed,
                help,
            },
            defaults: Profile::ALL.map(|profile| args::text(&setting.default(profile))),
            _strings: strings,
        }
    }

    /// Returns the pointer for C.
    fn as_ptr(&self) -> *const sprat_setting {
        ptr::from_ref(self).cast()
    }
}

/// The records of all settings. They are made once and never freed. No lock is taken, because a
/// child of a fork could inherit it locked.
fn records() -> &'static [SettingRecord] {
    static RECORDS: AtomicPtr<Vec<SettingRecord>> = AtomicPtr::new(ptr::null_mut());
    let mut records = RECORDS.load(Ordering::Acquire);
    if records.is_null() {
        let fresh = Box::into_raw(Box::new(
            settings().iter().map(SettingRecord::new).collect(),
        ));
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        records = match RECORDS.compare_exchange(ptr::null_mut(), fresh, done, seen) {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: `fresh` was made above from a box, and no other thread has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        };
    }
    // SAFETY: the pointer in RECORDS comes from a box, and nothing frees or changes it.
    unsafe { &*records }
}

/// Returns the number of settings.
///
/// The last two are "tag.KEY" and "filter.tag.KEY": each stands for any number of settings, one
/// for each key of a tag.
///
/// Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_setting_count() -> usize {
    settings().len()
}

/// Returns a setting by its index in the list.
///
/// @param i  the index, less than sprat_setting_count()
/// @return the setting, which is never freed; NULL past the end. Thread-safe.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_setting_at(i: usize) -> *const sprat_setting {
    entry::quiet("sprat_setting_at", ptr::null(), || {
        records().get(i).map_or(ptr::null(), SettingRecord::as_ptr)
    })
}

/// Returns a setting by its name.
///
/// @param name  the name; the name of a tag, such as "tag.role", finds the setting "tag.KEY"
/// @return the setting, which is never freed; NULL if there is no such setting or name is NULL.
///         Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_setting_find(name: *const c_char) -> *const sprat_setting {
    entry::quiet("sprat_setting_find", ptr::null(), || {
        // SAFETY: the program passes NULL or a string.
        let Ok(Some(name)) = (unsafe { args::optional("name", name) }) else {
            return ptr::null();
        };
        let record = position(name).and_then(|place| records().get(place));
        record.map_or(ptr::null(), SettingRecord::as_ptr)
    })
}

/// Returns the default of a setting as text.
///
/// @param setting  the setting, from sprat_setting_at() or sprat_setting_find()
/// @param profile  "lan", "wan" or "local"; NULL for "lan", which is the default profile
/// @return the default, which is never freed; "" if the setting is not set by default; NULL if
///         there is no such profile, or if `setting` is NULL or not in the list. Thread-safe.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sprat_setting_default(
    setting: *const sprat_setting,
    profile: *const c_char,
) -> *const c_char {
    entry::quiet("sprat_setting_default", ptr::null(), || {
        let Some(record) = records().iter().find(|it| it.as_ptr() == setting) else {
            return ptr::null();
        };
        let lan = Profile::Lan.name();
        // SAFETY: the program passes NULL or a string.
        let name = unsafe { args::optional("profile", profile) }.map(|name| name.unwrap_or(lan));
        let named = |profile: &Profile| name.as_ref().is_ok_and(|name| *name == profile.name());
        let place = Profile::ALL.iter().position(named);
        place.map_or(ptr::null(), |place| record.defaults[place].as_ptr())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn text(at: *const c_char) -> &'static str {
        // SAFETY: the tests pass strings of the records, which are never freed.
        unsafe { CStr::from_ptr(at) }.to_str().unwrap()
    }

    #[test]
    fn a_setting_shows_all_its_fields_to_c() {
        // SAFETY: the names are literals with a NUL at their end, and a setting is never freed.
        let (setting, default) = unsafe {
            let setting = sprat_setting_find(c"probe_timeout_ms".as_ptr());
            let wan = sprat_setting_default(setting, c"wan".as_ptr());
            (&*setting, wan)
        };
        assert_eq!(text(setting.name), "probe_timeout_ms");
        assert_eq!(
            (setting.r#type, text(setting.type_name)),
            (4, "milliseconds")
        );
        assert_eq!(
            (setting.min, setting.max, text(setting.unit)),
            (1, 600_000, "ms")
        );
        assert_eq!(text(setting.allowed), "1 to 600000");
        assert!(text(setting.help).starts_with("The time that a direct probe waits"));
        assert!(!setting.changeable);
        assert_eq!(text(default), "3000");
    }

    #[test]
    fn the_list_ends_with_the_tags_and_a_tag_is_found_by_its_name() {
        let last = sprat_setting_at(sprat_setting_count() - 2);
        // SAFETY: the name is a literal with a NUL at its end.
        let found = unsafe { sprat_setting_find(c"tag.role".as_ptr()) };
        assert_eq!(found, last);
        // SAFETY: the setting is never freed.
        let setting = unsafe { &*last };
        assert_eq!((text(setting.name), setting.changeable), ("tag.KEY", true));
        assert!(sprat_setting_at(sprat_setting_count()).is_null());
    }
}
