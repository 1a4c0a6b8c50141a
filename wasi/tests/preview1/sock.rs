//! Sockets.

use crate::guest::{DATA, Guest, ROOT};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use wasmo_wasi::{Errno, preview1 as p1};

fn receive(guest: &mut Guest, fd: u32, len: u32, flags: u32) -> Result<Vec<u8>, Errno> {
    guest.put(64, &[DATA.to_le_bytes(), len.to_le_bytes()].concat());
    guest.call(|ctx, memory| p1::sock_recv(ctx, memory, fd, 64, 1, flags, 0, 4))?;
    Ok(guest.memory[DATA as usize..][..guest.u32(0) as usize].to_vec())
}

fn send(guest: &mut Guest, fd: u32, bytes: &[u8], flags: u32) -> Result<u32, Errno> {
    guest.put(DATA, bytes);
    let len = u32::try_from(bytes.len()).unwrap();
    guest.put(64, &[DATA.to_le_bytes(), len.to_le_bytes()].concat());
    guest.call(|ctx, memory| p1::sock_send(ctx, memory, fd, 64, 1, flags, 0))?;
    Ok(guest.u32(0))
}

fn shutdown(guest: &mut Guest, fd: u32, how: u32) -> Result<(), Errno> {
    guest.call(|ctx, memory| p1::sock_shutdown(ctx, memory, fd, how))
}

#[test]
fn what_is_no_socket_is_told_so() {
    let mut guest = Guest::new();
    for (fd, error) in [(0, Errno::Notsock), (1, Errno::Notsock), (ROOT, Errno::Notsock), (99, Errno::Badf)] {
        assert_eq!(shutdown(&mut guest, fd, 1), Err(error));
        assert_eq!(receive(&mut guest, fd, 1, 0), Err(error));
        assert_eq!(send(&mut guest, fd, b"x", 0), Err(error));
        let result = guest.call(|ctx, memory| p1::sock_accept(ctx, memory, fd, 0, 0));
        assert_eq!(result, Err(error));
    }
}

#[test]
fn connections_are_accepted_and_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.preopened_listener(listener);
    });
    let socket = ROOT + 1;
    let mut accept = |flags| guest.call(|ctx, memory| p1::sock_accept(ctx, memory, socket, flags, 0));
    assert_eq!(accept(1), Err(Errno::Inval));
    let mut peer = TcpStream::connect(address).unwrap();
    accept(0).unwrap();
    let fd = guest.u32(0);
    assert_eq!(guest.fdstat(fd).unwrap().file_type, 6);
    peer.write_all(b"hello").unwrap();
    assert_eq!(receive(&mut guest, fd, 10, 1).unwrap(), b"hello", "peek");
    assert_eq!(receive(&mut guest, fd, 2, 0).unwrap(), b"he");
    assert_eq!(receive(&mut guest, fd, 3, 2).unwrap(), b"llo", "wait for all");
    assert_eq!(send(&mut guest, fd, b"x", 1), Err(Errno::Inval));
    assert_eq!(send(&mut guest, fd, b"ab", 0), Ok(2));
    assert_eq!(guest.write(fd, b"c"), Ok(1));
    assert_eq!(shutdown(&mut guest, fd, 0), Err(Errno::Inval));
    assert_eq!(shutdown(&mut guest, fd, 4), Err(Errno::Inval));
    shutdown(&mut guest, fd, 2).unwrap();
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    assert_eq!(received, "abc");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&mut guest, fd, 1, 2).unwrap(), b"");
    assert_eq!(shutdown(&mut guest, socket, 1), Err(Errno::Notconn));
}

#[test]
fn sockets_that_must_not_wait_do_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (connection, _) = listener.accept().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.preopened_listener(listener).preopened_connection(connection);
    });
    for fd in [ROOT + 1, ROOT + 2] {
        guest.call(|ctx, memory| p1::fd_fdstat_set_flags(ctx, memory, fd, 4)).unwrap();
    }
    let result = guest.call(|ctx, memory| p1::sock_accept(ctx, memory, ROOT + 1, 0, 0));
    assert_eq!(result, Err(Errno::Again));
    assert_eq!(receive(&mut guest, ROOT + 2, 1, 0), Err(Errno::Again));
    drop(peer);
    assert_eq!(receive(&mut guest, ROOT + 2, 1, 0), Ok(vec![]));
}
