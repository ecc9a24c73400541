"""A camera on the network, for tests: GStreamer's RTSP server, run by the Python of the system.

    python3 rtsp_server.py PORT PICTURES_PER_S PACKETS [USER PASSWORD]

PACKETS is a file of H.264 packets, each with its length in front (4 bytes, big-endian); they are sent again
and again, to every client from the first one on. Prints one line when it listens.
"""

import struct
import sys
import time
from pathlib import Path

import gi  # pyright: ignore[reportMissingImports]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  # pyright: ignore[reportMissingImports]

CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"


def packets(path):
    data, at = Path(path).read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


class Camera(GstRtspServer.RTSPMediaFactory):
    def __init__(self, path, rate):
        super().__init__()
        self.packets, self.rate = list(packets(path)), rate

    def do_create_element(self, url):
        source = f"appsrc name=source is-live=true format=time caps={CAPS},framerate={self.rate}/1"
        return Gst.parse_launch(f"( {source} ! rtph264pay name=pay0 pt=96 )")

    def do_configure(self, media):
        source = media.get_element().get_by_name("source")
        sent, begun_s = 0, time.monotonic()

        def send():
            nonlocal sent
            while sent <= (time.monotonic() - begun_s) * self.rate:
                buffer = Gst.Buffer.new_wrapped(self.packets[sent % len(self.packets)])
                buffer.pts = buffer.dts = sent * Gst.SECOND // self.rate
                buffer.duration = Gst.SECOND // self.rate
                sent += 1
                if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                    return False
            return True

        send()
        GLib.timeout_add(1000 // self.rate, send)


def main():
    port, rate, path, *login = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    camera = Camera(path, int(rate))
    if login:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)  # as cameras do
        auth.add_digest(*login, token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        camera.set_permissions(permissions)
    server.get_mount_points().add_factory("/live", camera)
    server.attach(None)
    print(f"listens on {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


main()
