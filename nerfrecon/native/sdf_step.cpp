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

AdamRates SdfCore::adam_rates(float rate) const {
    AdamRates rates{};
    rates.beta1 = settings_.beta1;
    rates.beta2 = settings_.beta2;
    rates.eps = settings_.epsilon;
    rates.correction1 = float(1 - std::pow(double(rates.beta1), double(applied)));
    rates.correction2 = float(1 - std::pow(double(rates.beta2), double(applied)));
    rates.rate = float(rate * caution);
    return rates;
}

void SdfCore::improve(const Pace& pace) {
    applied++;
    Array<float>& grad = chunks_[0].grad;
    const Grid& grid = field_.grid;
    AdamRates rates = adam_rates(pace.grid_lr);
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
    rates = adam_rates(pace.network_lr);
    table_kernels_.adam(rates, weights_.data(), grad.data(), weights_m_.data(), weights_v_.data(), weights_.size(),
                        false);
}

bool SdfCore::train_step(int rays, const Pace& pace, Report& report) {
    const Settings s = looking();
    int all = rays;
    const auto source = pixel_rays(s, occupancy_, views_, step, {&points_, nullptr}, all);
    if (normals_per_ray > 0) set_terms(normals_per_ray * rays);
    else count_normals(*source, all);
    field_.prior_weight = pace.prior / float(rays);
    bool finite = run_chunks(*source, all, true, true);
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

    report.applied++;
    improve(pace);
    if (sdf_.learned_sharpness) {
        float gradient = float(by_sharpness);
        table_kernels_.adam(adam_rates(pace.network_lr), log_sharpness, &gradient, log_sharpness + 1, log_sharpness + 2,
                            1, false);
    }
    parameters_changed();
    return true;
}

double SdfCore::fit(const float* points, const float* targets, size_t n, const Pace& pace) {
    set_active(pace.active_levels);
    pool_.run(kChunks, [&](int c, int thread) {
        SdfChunk& chunk = chunks_[c];
        chunk.reel.clear();
        chunk.loss = 0;
        chunk.finite = true;
        std::fill_n(chunk.grad.data(), chunk.grad.size(), 0.0f);
        const size_t last = n * (c + 1) / kChunks;
        for (size_t i = n * c / kChunks; i < last;) {
            SdfUnit& u = units_[thread]->unit;
            const int count = int(std::min(last - i, size_t(kSdfUnitSamples)));
            place(u, points + 3 * i, count);
            float* tape = chunk.reel.reserve(count, field_.grid.active);
            bool finite;
            chunk.loss += kernels_.regress(field_, u, count, targets + i, float(n), chunk.grad.data(), tape, &finite);
            chunk.reel.add(count, field_.grid.active);
            chunk.finite = chunk.finite && finite;
            i += count;
        }
    });
    double loss = 0;
    for (const SdfChunk& chunk : chunks_) {
        if (!chunk.finite) throw std::runtime_error("a fit's gradient is not finite");
        loss += chunk.loss;
    }
    sum_weight_gradients();
    improve(pace);
    parameters_changed();
    return loss / double(n);
}

void SdfCore::clear_optimiser() {
    for (Array<float>* a : {&table_m_, &table_v_, &weights_m_, &weights_v_}) std::fill_n(a->data(), a->size(), 0.0f);
    applied = 0;
}

}  // namespace nerf
