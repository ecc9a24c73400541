// Training steps: which pixels are looked at, what they cost, and how the parameters move.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core.h"

namespace nerf {

namespace {

// Rays 0 .. rays - 1 go through pixels, one in four more through points of known depth.
class PixelRays : public Rays {
   public:
    PixelRays(const Settings& s, const Occupancy& occupancy, const std::vector<View>& views, uint32_t step, int rays,
              const Knowledge& known)
        : s_(s), occupancy_(occupancy), views_(views), step_(step), rays_(rays), known_(known) {
        if (known.gains) by_gain.assign(3 * views.size(), 0.0f), by_ray_.assign(3 * size_t(rays), 0.0f);
        if (!(s.loss.depth > 0)) return;
        const double least = 1e-6;
        if (known.points && !known.points->empty()) {
            more_ = std::max(1, rays / kPointsShare);
            double trust = 0;
            for (int i = 0; i < more_; i++) trust += sighting(i).trust;
            by_point_ = float(s.loss.depth / std::max(trust, least));
        }
        if (std::none_of(views.begin(), views.end(), [](const View& v) { return v.depth; })) return;
        double pixels = 0, usable = 0;
        for (int i = 0; i < rays; i++) {
            const Pixel p = pixel(i);
            if (!p.usable) continue;
            usable++;
            if (p.view->depth) pixels += !std::isnan(p.view->depth[p.at]);
        }
        by_pixel_ = float(s.loss.depth / std::max(pixels, least) * usable / rays);
    }

    int count() const { return rays_ + more_; }
    std::vector<float> by_gain;  // derivatives by the logarithms of the gains, after `sum_gains`

    int begin(int ray, Ray& out, float* t, float* dt) override {
        const Random random(s_.seed, step_, uint32_t(ray));
        if (ray >= rays_) {
            const Sighting& seen = sighting(ray - rays_);
            out = pixel_ray(views_[seen.view].camera, seen.u, seen.v);
        } else {
            const Pixel p = pixel(ray);
            if (!p.usable) return -1;
            __builtin_prefetch(p.view->pixels + p.at * p.view->channels);  // `seen` would wait for it
            out = pixel_ray(p.view->camera, p.u, p.v);
        }
        return occupancy_.march(out, s_.march(), random.uniform(Draw::jitter), t, dt);
    }

    double seen(int ray, Unit& unit, int r) override {
        if (ray >= rays_) return point_seen(sighting(ray - rays_), unit, r);
        const Random random(s_.seed, step_, uint32_t(ray));
        const Pixel at = pixel(ray);
        const View& view = *at.view;
        const uint8_t* p = view.pixels + at.at * view.channels;
        const float alpha = view.channels == 4 ? float(p[3]) / 255.0f : 1.0f;
        float background[3], target[3], colour[3];
        const float* gain = known_.gains ? known_.gains + 3 * (at.view - views_.data()) : nullptr;
        for (int c = 0; c < 3; c++) {
            background[c] = s_.random_background ? random.uniform(Draw(uint32_t(Draw::background_red) + c))
                                                 : s_.background[c];
            target[c] = float(p[c]) / 255.0f * alpha + background[c] * (1 - alpha);
            colour[c] = unit.colour[3 * r + c] * (gain ? gain[c] : 1.0f);
        }
        const RayLoss loss = ray_loss(s_.loss, colour, unit.opacity[r], unit.rest[r], target, background, alpha, rays_);
        for (int c = 0; c < 3; c++) {
            unit.d_colour[3 * r + c] = loss.d_colour[c] * (gain ? gain[c] : 1.0f);
            if (gain) by_ray_[3 * size_t(ray) + c] = loss.d_colour[c] * colour[c];
        }
        unit.d_opacity[r] = loss.d_opacity;
        unit.d_rest[r] = loss.d_rest;
        double value = loss.value;
        if (unit.d_spread) {
            unit.d_spread[r] = s_.loss.distortion / float(rays_);
            value += double(unit.d_spread[r]) * unit.spread[r];
        }
        if (view.depth && by_pixel_ > 0 && !std::isnan(view.depth[at.at]))
            value += judge_depth(unit, r, view.depth[at.at], by_pixel_);
        return value;
    }

    // Rays in their order, so that the sum is the same for any count of threads; only ratios of gains are known.
    void sum_gains() {
        if (!known_.gains) return;
        const size_t n = views_.size();
        for (int ray = 0; ray < rays_; ray++) {
            const Pixel p = pixel(ray);
            for (int c = 0; c < 3; c++) by_gain[3 * (p.view - views_.data()) + c] += by_ray_[3 * size_t(ray) + c];
        }
        for (int c = 0; c < 3; c++) {
            double mean = 0;
            for (size_t v = 0; v < n; v++) mean += by_gain[3 * v + c];
            for (size_t v = 0; v < n; v++) by_gain[3 * v + c] -= float(mean / double(n));
        }
    }

   private:
    struct Pixel {
        const View* view;
        int u, v;
        size_t at;
        bool usable;
    };

    Pixel pixel(int ray) const {
        const Random random(s_.seed, step_, uint32_t(ray));
        const View& view = views_[random.below(Draw::view, int(views_.size()))];
        const int u = random.below(Draw::column, view.camera.width), v = random.below(Draw::row, view.camera.height);
        const size_t at = size_t(v) * view.camera.width + u;
        return {&view, u, v, at, !view.usable || view.usable[at]};
    }

    const Sighting& sighting(int i) const {
        return (*known_.points)[Random(s_.seed, step_, uint32_t(i)).below(Draw::point, int(known_.points->size()))];
    }

    double point_seen(const Sighting& point, Unit& unit, int r) const {
        std::fill_n(unit.d_colour + 3 * r, 3, 0.0f);
        unit.d_opacity[r] = unit.d_rest[r] = 0;
        if (unit.d_spread) unit.d_spread[r] = 0;
        return judge_depth(unit, r, point.depth, by_point_ * point.trust);
    }

    static double judge_depth(Unit& unit, int r, float wanted, float weight) {
        const DepthLoss loss = depth_loss(unit.depth_sum[r], unit.opacity[r], wanted, weight);
        unit.d_depth_sum[r] += loss.d_depth_sum;
        unit.d_opacity[r] += loss.d_opacity;
        return loss.value;
    }

    static constexpr int kPointsShare = 4;
    const Settings& s_;
    const Occupancy& occupancy_;
    const std::vector<View>& views_;
    uint32_t step_;
    int rays_, more_ = 0;
    Knowledge known_;
    float by_pixel_ = 0, by_point_ = 0;  // weights of one pixel's or point's difference in depth
    std::vector<float> by_ray_;
};

}  // namespace

std::unique_ptr<Rays> pixel_rays(const Settings& settings, const Occupancy& occupancy, const std::vector<View>& views,
                                 uint32_t step, const Knowledge& known, int& rays) {
    auto source = std::make_unique<PixelRays>(settings, occupancy, views, step, rays, known);
    rays = source->count();
    return source;
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
    std::vector<float> gains(log_gains_.rows * 3);
    Knowledge known{&points_, gains.empty() ? nullptr : gains.data()};
    for (size_t c = 0; c < 3 && known.gains; c++) {
        double mean = 0;
        for (size_t v = 0; v < log_gains_.rows; v++) mean += log_gains_.values[3 * v + c];
        mean /= double(log_gains_.rows);
        for (size_t v = 0; v < log_gains_.rows; v++)
            gains[3 * v + c] = std::exp(log_gains_.values[3 * v + c] - float(mean));
    }
    PixelRays source(settings_, occupancy_, views_, step, rays, known);
    bool finite = run_chunks(source, source.count(), true);
    sum_weight_gradients();
    source.sum_gains();
    for (float by_gain : source.by_gain) finite = finite && std::fabs(by_gain) < 1e18f;
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
    move_gains(rates, source.by_gain);
    return true;
}

void Core::move_gains(AdamRates rates, const std::vector<float>& by_gain) {
    std::vector<float> grad = by_gain;
    if (!grad.empty())
        kernels_.adam(rates, log_gains_.values, grad.data(), log_gains_.m, log_gains_.v, grad.size(), false);
}

void Core::fit_exposure(size_t views) {
    if (log_gains_.rows == views) return;
    gain_memory_ = Array<float>(9 * views);
    float* at = gain_memory_.data();
    log_gains_ = {log_gains_.name, views, 3, 3, at, at + 3 * views, at + 6 * views};
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
