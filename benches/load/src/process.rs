//! A child process: pinned to cores, and what the kernel says that it has used.

use std::{
    fs, io,
    process::{Child, Command},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Cores that a process may run on, as `taskset` takes them.
#[derive(Clone, Copy)]
pub(crate) struct Cores(pub(crate) &'static str);

/// The server has a core of its own, and the other is for whoever asks.
pub(crate) const SERVER: Cores = Cores("0");
pub(crate) const CALLERS: Cores = Cores("1");

impl Cores {
    /// A command that runs here.
    pub(crate) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", self.0]).arg(program);
        command
    }
}

/// A process that ends with this.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> io::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Keeps all its threads from running, until [`Process::go_on`].
    pub(crate) fn stop(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::STOP)?)
    }

    pub(crate) fn go_on(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::CONT)?)
    }

    /// What all its threads have run so far, in user mode and in the kernel.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        self.threads()?.iter().map(|task| on_cpu(task)).sum()
    }

    /// The same of the threads of one name.
    pub(crate) fn cpu_of(&self, name: &str) -> io::Result<Duration> {
        let is_called_so =
            |task: &&String| fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim_end() == name);
        self.threads()?.iter().filter(is_called_so).map(|task| on_cpu(task)).sum()
    }

    /// What it holds in memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<f64>().ok())
            .map(|kib| kib * 1024.0)
            .ok_or_else(|| io::Error::other("the kernel does not say what the process holds"))
    }

    fn threads(&self) -> io::Result<Vec<String>> {
        let folder = format!("/proc/{}/task", self.pid());
        fs::read_dir(&folder)?.map(|task| Ok(format!("{folder}/{}", task?.file_name().display()))).collect()
    }
}

/// The first number of `schedstat`, in nanoseconds; the ticks of `stat` are ten milliseconds.
fn on_cpu(task: &str) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("{task}/schedstat"))?;
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or_else(|| io::Error::other("the kernel counts no CPU time"))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
