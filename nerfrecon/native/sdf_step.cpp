// Training steps of the signed distance.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sdf_core.h"

namespace nerf {

Report SdfCore::steps(int count, const Pace& pace) {
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

bool SdfCore::train_step(int rays, const Pace& pace, Report& report) {
    const Settings s = looking();
    const auto source = pixel_rays(s, occupancy_, views_, step, rays);
    if (normals_per_ray > 0) set_terms(normals_per_ray * rays);
    else count_normals(*source, rays);
    bool finite = run_chunks(*source, rays, true, true);
    sum_weight_gradients();
    Array<float>& grad = chunks_[0].grad;
    for (size_t i = 0; i < grad.size(); i++) finite = finite && std::fabs(grad[i]) < 1e18f;
    double loss = 0, by_sharpness = 0;
    long kept = 0, normals = 0;
    for (const SdfChunk& chunk : chunks_) {
        loss += chunk.loss;
        by_sharpness += chunk.d_log_sharpness;
        kept += chunk.kept;
        normals += chunk.normals;
        if (finite) report.marched += chunk.marched;
    }
    if (!finite || !(std::fabs(by_sharpness) < 1e18)) return false;
    report.loss += loss;
    report.rays += rays;
    report.kept += kept;
    const auto follow = [&](double& mean, double now) { mean = mean > 0 ? 0.9 * mean + 0.1 * now : now; };
    follow(kept_per_ray, std::max(double(kept) / rays, 0.05));
    follow(normals_per_ray, std::max(double(normals) / rays, 1e-3));

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
        Array<float>& buffer = level_grads_[thread];
        if (!buffer.size()) {
            size_t most = 0;
            for (int k = 0; k < grid.levels; k++) most = std::max(most, size_t(grid.level[k].entries));
            buffer = Array<float>(most * kFeatures);
        }
        for (const SdfChunk& chunk : chunks_)
            for (size_t i = 0; i < chunk.reel.size(); i++)
                table_kernels_.scatter(grid, l, chunk.reel.tape(i), buffer.data());
        const size_t at = kFeatures * level.offset;
        table_kernels_.adam(rates, table_.data() + at, buffer.data(), table_m_.data() + at, table_v_.data() + at,
                            kFeatures * size_t(level.entries), true);
    });
    const size_t bounds[3] = {0, field_.layers.colour0, field_.layers.count};  // each network is clipped for itself
    for (int k = 0; k < 2 && settings_.clip > 0; k++) {
        double square = 0;
        for (size_t i = bounds[k]; i < bounds[k + 1]; i++) square += double(grad[i]) * grad[i];
        const double norm = std::sqrt(square);
        if (norm > settings_.clip)
            for (size_t i = bounds[k]; i < bounds[k + 1]; i++) grad[i] *= float(settings_.clip / norm);
    }
    rates.rate = float(pace.network_lr * caution);
    table_kernels_.adam(rates, weights_.data(), grad.data(), weights_m_.data(), weights_v_.data(), weights_.size(),
                        false);
    if (sdf_.learned_sharpness) {
        float gradient = float(by_sharpness);
        table_kernels_.adam(rates, log_sharpness, &gradient, log_sharpness + 1, log_sharpness + 2, 1, false);
    }
    parameters_changed();
    return true;
}

}  // namespace nerf
