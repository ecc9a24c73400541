// A camera that turns around a point, by mouse, fingers and keys. World: y up. Camera: OpenCV's axes (x right,
// y down, z forward). One finger or the left button turns; two fingers, the right button or shift pan; wheel and
// pinch come closer; arrows turn, shift + arrows pan, + and - come closer, Home goes back to the start.
"use strict";

class OrbitControls {
  static STEEPEST = Math.PI / 2 - 0.01;
  static KEY_TURN = Math.PI / 24;

  // options: target [x, y, z], distance, azimuth (0 looks from +z, radians to the right), elevation, nearest and
  // furthest distance, fov (vertical, radians: panning follows the finger), inertia, onChange(controls).
  constructor(element, options = {}) {
    const {target = [0, 0, 0], distance = 3, azimuth = 0, elevation = 0.3} = options;
    this.element = element;
    this.fov = options.fov ?? Math.PI / 5;
    this.nearest = options.nearest ?? distance / 20;
    this.furthest = options.furthest ?? distance * 4;
    this.inertia = options.inertia ?? false;
    this.spin = 0; // radians a second, about the vertical
    this.onChange = options.onChange ?? (() => {});
    this.onTouch = options.onTouch ?? (() => {}); // the user took hold of the view
    this.home = {target: [...target], distance, azimuth, elevation};
    this.reset();
    this._fingers = new Map(); // by pointer; nobody is told of changes before
    this._listen();
  }

  // Pose of the camera: 4 x 4, rows.
  get T_world_camera() {
    const [sa, ca, se, ce] = [Math.sin(this.azimuth), Math.cos(this.azimuth), Math.sin(this.elevation), Math.cos(this.elevation)];
    const [tx, ty, tz] = this.target, d = this.distance;
    return [
      [ca, sa * se, -sa * ce, tx + d * sa * ce],
      [0, -ce, -se, ty + d * se],
      [-sa, ca * se, -ca * ce, tz + d * ca * ce],
      [0, 0, 0, 1],
    ];
  }

  get isHeld() { return this._fingers.size > 0; }

  turn(right, up) {
    this.azimuth -= right;
    this.elevation = Math.min(Math.max(this.elevation + up, -OrbitControls.STEEPEST), OrbitControls.STEEPEST);
    this._changed();
  }

  // Times as far away.
  zoom(times) {
    this.distance = Math.min(Math.max(this.distance * times, this.nearest), this.furthest);
    this._changed();
  }

  // Moves what is seen by shares of the element's height.
  pan(right, down) {
    const span = 2 * this.distance * Math.tan(this.fov / 2), T = this.T_world_camera;
    for (let axis = 0; axis < 3; axis++) this.target[axis] -= span * (right * T[axis][0] + down * T[axis][1]);
    this._changed();
  }

  look(azimuth, elevation) {
    [this.azimuth, this.elevation] = [azimuth, elevation];
    this._changed();
  }

  reset() {
    Object.assign(this, this.home, {target: [...this.home.target]});
    this._speed = [0, 0];
    this._changed();
  }

  // Home is this far from the target; what is looked at stays as large as it was against it.
  stand(distance) {
    this.distance *= distance / this.home.distance;
    this.home.distance = distance;
  }

  // Lets `seconds` pass; true where the camera moved by itself.
  advance(seconds) {
    if (this.isHeld) return false;
    const before = [this.azimuth, this.elevation];
    if (this.spin) this.azimuth += this.spin * seconds;
    if (this.inertia && Math.hypot(...this._speed) > 1e-3) {
      const [right, up] = this._speed, left = Math.exp(-5 * seconds);
      this._speed = [right * left, up * left];
      this.turn(right * seconds, up * seconds);
    }
    if (before[0] === this.azimuth && before[1] === this.elevation) return false;
    this._changed();
    return true;
  }

  _changed() { if (this._fingers) this.onChange(this); }

  _listen() {
    const on = (type, handler, options) => this.element.addEventListener(type, handler.bind(this), options);
    this.element.style.touchAction = "none";
    on("pointerdown", this._down);
    on("pointermove", this._move);
    on("pointerup", this._up);
    on("pointercancel", this._up);
    on("lostpointercapture", this._up);
    on("contextmenu", (event) => event.preventDefault());
    on("dblclick", this.reset);
    on("wheel", this._wheel, {passive: false});
    on("keydown", this._key);
  }

  _down(event) {
    if (this._fingers.size >= 2) return;
    try { this.element.setPointerCapture(event.pointerId); } catch { /* a made-up pointer has no capture */ }
    const panning = event.pointerType === "mouse" && (event.button !== 0 || event.shiftKey || event.ctrlKey);
    this._fingers.set(event.pointerId, {x: event.clientX, y: event.clientY, t: event.timeStamp, panning});
    this._speed = [0, 0];
    this.onTouch();
  }

  _move(event) {
    const finger = this._fingers.get(event.pointerId);
    if (!finger) return;
    const height = this.element.clientHeight || 1;
    const dx = (event.clientX - finger.x) / height, dy = (event.clientY - finger.y) / height;
    const seconds = Math.max(event.timeStamp - finger.t, 1) / 1000;
    const other = [...this._fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const before = Math.hypot(finger.x - other.x, finger.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      this.pan(dx / 2, dy / 2);
      if (before > 0 && after > 0) this.zoom(before / after);
    } else if (finger.panning) {
      this.pan(dx, dy);
    } else {
      const [right, up] = [dx * Math.PI, dy * Math.PI]; // a swipe over the whole height is half a turn
      this._speed = [right / seconds, up / seconds];
      this.turn(right, up);
    }
    Object.assign(finger, {x: event.clientX, y: event.clientY, t: event.timeStamp});
  }

  _up(event) {
    const finger = this._fingers.get(event.pointerId);
    this._fingers.delete(event.pointerId);
    if (finger && event.timeStamp - finger.t > 80) this._speed = [0, 0]; // it rested before it let go
  }

  _wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1; // lines and pages, in pixels
    this.onTouch();
    this.zoom(Math.exp(Math.min(Math.max(event.deltaY * unit, -300), 300) * 0.0012));
  }

  _key(event) {
    if (event.altKey || event.metaKey || event.ctrlKey) return;
    const step = OrbitControls.KEY_TURN;
    const ways = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
    const way = ways[event.key];
    if (way && event.shiftKey) this.pan(-way[0] * 0.04, -way[1] * 0.04); // the eye goes where the arrow points
    else if (way) this.turn(-way[0] * step, -way[1] * step);
    else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.12);
    else if (event.key === "-" || event.key === "_") this.zoom(1.12);
    else if (event.key === "Home") this.reset();
    else return;
    event.preventDefault();
    this.onTouch();
  }
}
