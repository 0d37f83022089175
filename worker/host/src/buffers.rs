//! How long MLX's command buffers are, which the GPU runs without a break: a screen that somebody looks at waits for the end of each.
//!
//! MLX reads both limits from its environment when its device is made, so they hold for a process's whole life. They change when work is
//! handed to the GPU and never what is computed.

/// Operations of a buffer, as MLX calls it.
pub const OPERATIONS: &str = "MLX_MAX_OPS_PER_BUFFER";

/// Megabytes that a buffer's operations touch, as MLX calls it.
pub const MEGABYTES: &str = "MLX_MAX_MB_PER_BUFFER";

/// How long a process's buffers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    /// So that a watchdog that ended longer ones leaves these alone.
    Shortest,
    /// So that a screen stays smooth.
    Short,
    /// As MLX chooses for the chip: the fastest.
    Usual,
}

impl Length {
    /// What a process's environment says for it, by name. MLX's own choice says nothing: 40 to 50 of both, by the chip.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Length::Usual => &[],
            Length::Short => &[(OPERATIONS, "10"), (MEGABYTES, "20")],
            Length::Shortest => &[(OPERATIONS, "2"), (MEGABYTES, "5")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_buffers_have_lower_limits_and_mlx_is_left_alone_otherwise() {
        let limits = |length: Length| -> Vec<u32> {
            length.environment().iter().map(|(_, value)| value.parse().unwrap()).collect()
        };
        assert!(limits(Length::Usual).is_empty());
        let both = limits(Length::Short).into_iter().zip(limits(Length::Shortest));
        assert_eq!(both.clone().count(), 2);
        assert!(both.into_iter().all(|(short, shortest)| shortest < short && short < 40));
    }
}
