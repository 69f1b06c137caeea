//! One declaration per setting: its name, type, default and the sentence that documents it.
//!
//! The sample file, `config dump` and the operator guide are generated from these declarations, so they
//! can't tell another story than the code.

/// What is known about one setting besides its type.
#[derive(Clone, Copy, Debug)]
pub struct SettingDoc {
    /// Key inside its section.
    pub key: &'static str,
    /// Sentences of the declaration, one per line.
    pub lines: &'static [&'static str],
}

/// Declares a section: a struct with `deny_unknown_fields`, its `Default`, and the documentation of
/// its settings.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $section:ident {
            $(
                $(#[doc = $doc:literal])+
                $(#[serde($($serde:tt)+)])?
                $key:ident: $type:ty = $default:expr;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $section {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)+)])?
                pub $key: $type,
            )+
        }

        impl $section {
            /// Sentences that document the section.
            pub const DOC: &'static [&'static str] = &[$($section_doc),+];
            /// Documentation of each setting, in order.
            pub const SETTINGS: &'static [$crate::config::section::SettingDoc] = &[
                $($crate::config::section::SettingDoc {
                    key: stringify!($key),
                    lines: &[$($doc),+],
                },)+
            ];
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }
    };
}

pub(super) use section;
