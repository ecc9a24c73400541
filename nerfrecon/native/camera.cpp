#include "camera.h"

#include <cmath>

namespace nerf {

namespace {

// OpenCV's model (its documentation, "Camera Calibration and 3D Reconstruction") and its Jacobian.
void distort(const double* k, double x, double y, double& xd, double& yd, double J[4]) {
    const double r2 = x * x + y * y;
    const double up = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4])), down = 1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]));
    const double d_up = k[0] + r2 * (2 * k[1] + r2 * 3 * k[4]), d_down = k[5] + r2 * (2 * k[6] + r2 * 3 * k[7]);
    const double g = up / down, d_g = 2 * (d_up * down - up * d_down) / (down * down);  // by r^2, times 2
    const double p1 = k[2], p2 = k[3];
    xd = x * g + 2 * p1 * x * y + p2 * (r2 + 2 * x * x);
    yd = y * g + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y;
    J[0] = g + x * x * d_g + 2 * p1 * y + 6 * p2 * x;
    J[1] = x * y * d_g + 2 * p1 * x + 2 * p2 * y;
    J[2] = J[1];
    J[3] = g + y * y * d_g + 6 * p1 * y + 2 * p2 * x;
}

}  // namespace

void undistort(const Camera& camera, double u, double v, double& x, double& y) {
    const double x0 = (u - camera.cx) / camera.fx, y0 = (v - camera.cy) / camera.fy;
    x = x0, y = y0;
    bool none = true;
    for (double k : camera.distortion) none = none && k == 0;
    if (none) return;
    for (int i = 0; i < 20; i++) {
        double xd, yd, J[4];
        distort(camera.distortion, x, y, xd, yd, J);
        const double ex = xd - x0, ey = yd - y0;
        if (std::fmax(std::fabs(ex), std::fabs(ey)) < 1e-13) break;
        double det = J[0] * J[3] - J[1] * J[2];
        if (std::fabs(det) < 1e-9) det = 1e-9;
        const auto bounded = [](double step) { return std::fmin(std::fmax(step, -0.5), 0.5); };
        x -= bounded((J[3] * ex - J[1] * ey) / det);
        y -= bounded((J[0] * ey - J[2] * ex) / det);
    }
}

Ray pixel_ray(const Camera& camera, double u, double v) {
    double x, y;
    undistort(camera, u, v, x, y);
    const double* T = camera.pose;
    double d[3], norm = 0;
    for (int i = 0; i < 3; i++) {
        d[i] = T[4 * i] * x + T[4 * i + 1] * y + T[4 * i + 2];
        norm += d[i] * d[i];
    }
    norm = std::sqrt(norm);
    Ray ray;
    for (int i = 0; i < 3; i++) {
        ray.origin[i] = float(T[4 * i + 3]);
        ray.direction[i] = float(d[i] / norm);
    }
    return ray;
}

}  // namespace nerf
