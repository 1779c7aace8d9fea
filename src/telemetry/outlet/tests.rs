use std::sync::mpsc::{self, Receiver, Sender, SyncSender};

use super::*;

/// Nothing here takes longer on a machine that is alive.
const PATIENCE: Duration = Duration::from_secs(10);

const BRIEF: Duration = Duration::from_millis(50);

/// A pipe that holds nothing: each write says that it has begun, and waits until it is read.
struct Pipe {
    begun: Sender<()>,
    writer: SyncSender<Vec<u8>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begun.send(());
        self.writer.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Stage {
    outlet: Arc<Outlet>,
    begun: Receiver<()>,
    reader: Receiver<Vec<u8>>,
    lost: Receiver<u64>,
    told: Receiver<u64>,
}

fn stage(most_bytes: usize) -> Stage {
    let (begin, begun) = mpsc::channel();
    let (writer, reader) = mpsc::sync_channel(0);
    let (lose, lost) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let lose = move |count| lose.send(count).unwrap();
    let tell = move |count| tell.send(count).unwrap();
    let outlet = Outlet::start(Pipe { begun: begin, writer }, most_bytes, lose, tell).unwrap();
    Stage { outlet, begun, reader, lost, told }
}

fn put(outlet: &Outlet, line: &str) {
    let mut outlet = outlet;
    outlet.write_all(line.as_bytes()).unwrap();
}

#[test]
fn who_logs_is_held_up_by_nobody_and_what_was_lost_is_counted_and_told_once_lines_get_through() {
    let Stage { outlet, begun, reader, lost, told } = stage(8);
    put(&outlet, "first\n");
    begun.recv_timeout(PATIENCE).unwrap();

    put(&outlet, "next\n");
    for _ in 0..10 {
        put(&outlet, "over\n");
    }
    let counted: u64 = lost.try_iter().sum();
    let read = [(); 2].map(|()| reader.recv_timeout(PATIENCE).unwrap());

    assert_eq!(counted, 10);
    assert_eq!(read, [b"first\n", b"next\n".as_slice()]);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 10);
    put(&outlet, "after\n");
    assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), b"after\n");
    assert!(told.try_recv().is_err(), "told once");
}

#[test]
fn what_cannot_be_written_is_counted_and_not_told_to_who_takes_nothing() {
    let Stage { outlet, reader, lost, told, .. } = stage(64);
    drop(reader);

    put(&outlet, "one\ntwo\n");
    let counted = lost.recv_timeout(PATIENCE).unwrap();
    put(&outlet, "three\n");
    let counted = counted + lost.recv_timeout(PATIENCE).unwrap();

    assert_eq!(counted, 3);
    assert!(outlet.flush(PATIENCE), "nothing waits for what does not come");
    assert!(told.try_recv().is_err());
}

#[test]
fn the_last_lines_are_waited_for_but_not_for_long() {
    let Stage { outlet, reader, .. } = stage(64);
    put(&outlet, "last\n");

    let unread = outlet.flush(BRIEF);
    let line = reader.recv_timeout(PATIENCE).unwrap();

    assert!(!unread);
    assert_eq!(line, b"last\n");
    assert!(outlet.flush(PATIENCE));
    assert!(outlet.flush(Duration::ZERO), "nothing is left to wait for");
}

#[test]
fn a_write_holds_whole_lines_and_no_more_than_a_pipe_takes_at_once() {
    let line = |length: usize| [vec![b'x'; length - 1], vec![b'\n']].concat();
    for (lengths, expected) in [
        (vec![10], 10),
        (vec![2048, 2048, 1], 4096),
        (vec![4095, 2], 4095),
        (vec![4096], 4096),
        (vec![5000, 10], 5000),
        (vec![10, 5000], 10),
    ] {
        let text: Vec<u8> = lengths.iter().flat_map(|length| line(*length)).collect();

        assert_eq!(piece_bytes(&text), expected, "{lengths:?}");
    }
    assert_eq!(piece_bytes(b"no end"), 6);
}
