// Training steps: which pixels are looked at, what they cost, and how the parameters move.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core.h"

namespace nerf {

namespace {

class PixelRays : public Rays {
   public:
    PixelRays(const Settings& s, const Occupancy& occupancy, const std::vector<View>& views, uint32_t step, int rays)
        : s_(s), occupancy_(occupancy), views_(views), step_(step), rays_(rays) {}

    int begin(int ray, Ray& out, float* t, float* dt) override {
        const Random random(s_.seed, step_, uint32_t(ray));
        const View& view = drawn(random);
        const int u = random.below(Draw::column, view.camera.width), v = random.below(Draw::row, view.camera.height);
        if (view.usable && !view.usable[size_t(v) * view.camera.width + u]) return -1;
        out = pixel_ray(view.camera, u, v);
        return occupancy_.march(out, s_.march(), random.uniform(Draw::jitter), t, dt);
    }

    double seen(int ray, Unit& unit, int r) override {
        const Random random(s_.seed, step_, uint32_t(ray));
        const View& view = drawn(random);
        const int u = random.below(Draw::column, view.camera.width), v = random.below(Draw::row, view.camera.height);
        const uint8_t* p = view.pixels + (size_t(v) * view.camera.width + u) * view.channels;
        const float alpha = view.channels == 4 ? float(p[3]) / 255.0f : 1.0f;
        float background[3], target[3];
        for (int c = 0; c < 3; c++) {
            background[c] = s_.random_background ? random.uniform(Draw(uint32_t(Draw::background_red) + c))
                                                 : s_.background[c];
            target[c] = float(p[c]) / 255.0f * alpha + background[c] * (1 - alpha);
        }
        const RayLoss loss = ray_loss(s_.loss, unit.colour + 3 * r, unit.opacity[r], unit.rest[r], target, background,
                                      alpha, rays_);
        std::copy_n(loss.d_colour, 3, unit.d_colour + 3 * r);
        unit.d_opacity[r] = loss.d_opacity;
        unit.d_rest[r] = loss.d_rest;
        return loss.value;
    }

   private:
    const View& drawn(const Random& random) const { return views_[random.below(Draw::view, int(views_.size()))]; }
    const Settings& s_;
    const Occupancy& occupancy_;
    const std::vector<View>& views_;
    uint32_t step_;
    int rays_;
};

}  // namespace

std::unique_ptr<Rays> pixel_rays(const Settings& settings, const Occupancy& occupancy, const std::vector<View>& views,
                                 uint32_t step, int rays) {
    return std::make_unique<PixelRays>(settings, occupancy, views, step, rays);
}

Report Core::steps(int count, const Pace& pace) {
    if (views_.empty()) throw std::invalid_argument("no views to train on");
    set_active(pace.active_levels);
    Report report;
    for (int i = 0; i < count; i++) {
        if (settings_.empty_space && step > 0 && step % uint32_t(settings_.update_every) == 0) update_occupancy();
        const double per_ray = kept_per_ray > 0 ? kept_per_ray : 32;
        const int rays = int(std::max(1.0, std::min(double(settings_.most_rays), pace.samples / per_ray)));
        if (train_step(rays, pace, report)) {
            refused_in_row = 0;
        } else {
            report.refused++;
            caution /= 2;
            if (++refused_in_row == 3) throw std::runtime_error("three steps in a row were not finite");
        }
        step++;
    }
    return report;
}

bool Core::train_step(int rays, const Pace& pace, Report& report) {
    PixelRays source(settings_, occupancy_, views_, step, rays);
    bool finite = run_chunks(source, rays, true);
    sum_weight_gradients();
    const float* weight_grad = chunks_[0].grad.data();
    for (size_t i = 0; i < chunks_[0].grad.size(); i++) finite = finite && std::fabs(weight_grad[i]) < 1e18f;
    if (!finite) return false;

    double loss = 0;
    long kept = 0;
    for (const Chunk& chunk : chunks_) {
        loss += chunk.loss;
        kept += chunk.kept;
        report.marched += chunk.marched;
    }
    report.loss += loss;
    report.rays += rays;
    report.kept += kept;
    const double now = std::max(double(kept) / rays, 0.05);
    kept_per_ray = kept_per_ray > 0 ? 0.9 * kept_per_ray + 0.1 * now : now;

    applied++;
    report.applied++;
    AdamRates rates{};
    rates.beta1 = settings_.beta1;
    rates.beta2 = settings_.beta2;
    rates.eps = settings_.epsilon;
    rates.correction1 = float(1 - std::pow(double(rates.beta1), double(applied)));
    rates.correction2 = float(1 - std::pow(double(rates.beta2), double(applied)));
    rates.rate = float(pace.grid_lr * caution);
    const Grid& grid = field_.grid;
    pool_.run(grid.active, [&](int task, int thread) {
        const int l = grid.active - 1 - task;  // the finest first: they take longest
        const Level& level = grid.level[l];
        float* grad = level_buffer(thread);
        for (const Chunk& chunk : chunks_)
            for (size_t i = 0; i < chunk.reel.size(); i++) kernels_.scatter(grid, l, chunk.reel.tape(i), grad);
        const size_t at = kFeatures * level.offset;
        kernels_.adam(rates, table_.data() + at, grad, table_m_.data() + at, table_v_.data() + at,
                      kFeatures * size_t(level.entries), true);
    });
    clip_gradients();
    rates.rate = float(pace.network_lr * caution);
    kernels_.adam(rates, weights_.data(), chunks_[0].grad.data(), weights_m_.data(), weights_v_.data(),
                  weights_.size(), false);
    kernels_.pack(field_);
    return true;
}

// The density and the colour network each for itself.
void Core::clip_gradients() {
    if (!(settings_.clip > 0)) return;
    const size_t bounds[3] = {0, field_.layers.colour0, field_.layers.count};
    for (int k = 0; k < 2; k++) {
        float* grad = chunks_[0].grad.data();
        double square = 0;
        for (size_t i = bounds[k]; i < bounds[k + 1]; i++) square += double(grad[i]) * grad[i];
        const double norm = std::sqrt(square);
        if (norm > settings_.clip)
            for (size_t i = bounds[k]; i < bounds[k + 1]; i++) grad[i] *= float(settings_.clip / norm);
    }
}

}  // namespace nerf
