// A view of the field: every pixel a ray, its lattice beginning half a step in.
#include <algorithm>

#include "core.h"

namespace nerf {

namespace {

class ViewRays : public Rays {
   public:
    ViewRays(const Settings& s, const Occupancy& occupancy, const Camera& camera,
             const float* background, float* rgb, float* depth, float* opacity)
        : s_(s), occupancy_(occupancy), camera_(camera), background_(background), rgb_(rgb), depth_(depth),
          opacity_(opacity) {}

    int begin(int pixel, Ray& out, float* t, float* dt) override {
        out = pixel_ray(camera_, pixel % camera_.width, pixel / camera_.width);
        return occupancy_.march(out, s_.march(), 0.5f, t, dt);
    }

    double seen(int pixel, Unit& u, int r) override {
        for (int c = 0; c < 3; c++) rgb_[3 * size_t(pixel) + c] = u.colour[3 * r + c] + u.rest[r] * background_[c];
        depth_[pixel] = u.depth_sum[r] / std::max(u.opacity[r], 1e-6f);
        opacity_[pixel] = u.opacity[r];
        return 0;
    }

   private:
    const Settings& s_;
    const Occupancy& occupancy_;
    const Camera& camera_;
    const float* background_;
    float *rgb_, *depth_, *opacity_;
};

}  // namespace

std::unique_ptr<Rays> view_rays(const Settings& settings, const Occupancy& occupancy, const Camera& camera,
                                const float* background, float* rgb, float* depth, float* opacity) {
    return std::make_unique<ViewRays>(settings, occupancy, camera, background, rgb, depth, opacity);
}

void Core::render(const Camera& camera, const float* background, float* rgb, float* depth, float* opacity) {
    ViewRays rays(settings_, occupancy_, camera, background, rgb, depth, opacity);
    run_chunks(rays, camera.width * camera.height, false);
}

}  // namespace nerf
