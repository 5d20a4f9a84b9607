//! The figures of a schedule, and of many added up.

/// Makes the figures of a level's schedules; the first of them counts schedules.
macro_rules! stats {
    ($($(#[$doc:meta])* $field:ident: $name:literal,)*) => {
        /// What one schedule, or many, led to.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Stats {
            /// Adds up.
            pub fn add(&mut self, other: &Stats) {
                $(self.$field += other.$field;)*
            }
        }

        impl $crate::schedule::Counted for Stats {
            fn one() -> Self {
                Self { schedules: 1, ..Self::default() }
            }
        }

        impl std::fmt::Display for Stats {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let fields = [$(($name, self.$field),)*];
                for (at, (name, value)) in fields.into_iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{value} {name}")?;
                }
                Ok(())
            }
        }
    };
}

pub(crate) use stats;
