//! Where the figures come from: a figure without its machine says little.

use std::{fs, path::Path, process::Command};

/// A line on the machine, the kernel and the program.
pub(crate) fn description(gateway: &Path) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu_info = read("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let version = Command::new(gateway).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    format!(
        "{} cores of {}, Linux {}, load average {} at the start, {}",
        cores(),
        model.map_or("an unknown model", |(_, model)| model),
        kernel.trim(),
        load.split(' ').next().unwrap_or("unknown"),
        String::from_utf8_lossy(&version).trim()
    )
}

/// How many cores there are to pin to; this process itself is pinned.
pub(crate) fn cores() -> usize {
    fs::read_to_string("/proc/cpuinfo")
        .map_or(1, |text| text.lines().filter(|line| line.starts_with("processor")).count())
}
