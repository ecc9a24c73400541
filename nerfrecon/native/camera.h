// Pixels to rays in the unit cube. Camera axes: x right, y down, z forward; whole numbers are pixel centres.
#pragma once

#include <cstdint>

namespace nerf {

struct Camera {
    int width, height;
    double fx, fy, cx, cy;
    double distortion[8];  // OpenCV's k1 k2 p1 p2 k3 k4 k5 k6
    double pose[12];       // T_unit_camera, its first three rows
};

struct Ray {
    float origin[3], direction[3];  // unit direction
};

// A training picture: 8 bits a colour, rows from the top; with 4 channels the last is opacity (not premultiplied).
struct View {
    Camera camera;
    const uint8_t* pixels;
    const uint8_t* usable;  // 0: this pixel says nothing; null: all do
    int channels;
    const float* depth = nullptr;  // length along each pixel's ray, NaN where it is not known; null: nowhere
};

Ray pixel_ray(const Camera&, double u, double v);

// Normalised camera coordinates (x / z, y / z) of a pixel, the distortion undone by Newton's method.
void undistort(const Camera&, double u, double v, double& x, double& y);

}  // namespace nerf
