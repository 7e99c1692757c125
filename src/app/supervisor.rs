//! What systemd is told about the state of the service (`Type=notify`, see sd_notify(3)).

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// A change of state that a supervisor waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Notice {
    Ready,
    Stopping,
}

/// Tells the supervisor named in `NOTIFY_SOCKET`, if there is one. A failure is logged: it must not stop the service.
pub(super) fn notify(notice: Notice) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, notice) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

fn send(socket: &OsStr, notice: Notice) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let state: &[u8] = match notice {
        Notice::Ready => b"READY=1",
        Notice::Stopping => b"STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_of_it_on_either_kind_of_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("toall-test-{}", std::process::id());
        let sockets = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
            ),
        ];
        for (address, socket) in sockets {
            let mut heard = [0; 64];
            send(&address, Notice::Ready).unwrap();
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
            send(&address, Notice::Stopping).unwrap();
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"STOPPING=1");
        }
        assert!(send(OsStr::new("/nonexistent/socket"), Notice::Ready).is_err());
    }
}
