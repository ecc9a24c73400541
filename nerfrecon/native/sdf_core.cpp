#include "sdf_core.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace nerf {

extern const SdfKernels sdf_kernels_portable;
#if defined(NERF_X86)
extern const SdfKernels sdf_kernels_avx2;
extern const SdfKernels sdf_kernels_avx512;
#endif

const SdfKernels& sdf_kernels(const char* name) {
#if defined(NERF_X86)
    for (const SdfKernels* k : {&sdf_kernels_avx2, &sdf_kernels_avx512})
        if (!std::strcmp(k->name, name)) return *k;
#endif
    return sdf_kernels_portable;
}

void SdfTensor::read(const float* data, float* out) const {
    for (size_t r = 0; r < rows; r++)
        for (const Run& run : runs) std::copy_n(data + r * stride + run.inside, run.count, out + r * columns + run.from);
}

void SdfTensor::write(const float* in, float* data) const {
    for (size_t r = 0; r < rows; r++)
        for (const Run& run : runs) std::copy_n(in + r * columns + run.from, run.count, data + r * stride + run.inside);
}

SdfCore::SdfCore(const Settings& settings, const SdfSettings& sdf, const std::vector<Level>& levels,
                 const std::string& isa, int threads)
    : settings_(settings),
      sdf_(sdf),
      table_kernels_(kernels(isa.empty() ? runnable().front() : isa)),
      kernels_(sdf_kernels(table_kernels_.name)),
      pool_(threads),
      field_(int(levels.size())),
      occupancy_(settings.resolution),
      level_grads_(threads),
      chunks_(kChunks) {
    const size_t rows = lay_levels(field_.grid, levels), encoded = levels.size() * kFeatures;
    const SdfLayers& at = field_.layers;
    for (Array<float>* a : {&table_, &table_m_, &table_v_}) *a = Array<float>(rows * kFeatures);
    for (Array<float>* a : {&weights_, &weights_m_, &weights_v_}) *a = Array<float>(at.count);
    packed_ = Array<float>(at.packed_count());
    field_.grid.table = table_.data();
    field_.weights = weights_.data();
    field_.packed = packed_.data();
    field_.normal_weight = sdf.normal_weight;
    tensors_.push_back({"grid.table", rows, kFeatures, kFeatures, table_.data(), table_m_.data(), table_v_.data(),
                        {{0, 0, kFeatures}}});
    const auto matrix = [&](const char* name, size_t start, size_t out, size_t in, size_t stride,
                            std::vector<SdfTensor::Run> runs) {
        tensors_.push_back({name, out, in, stride, weights_.data() + start, weights_m_.data() + start,
                            weights_v_.data() + start, std::move(runs)});
    };
    matrix("sdf_mlp.0", at.sdf0, kHidden, encoded + kPlace, size_t(at.encoded),
           {{0, kPlace, encoded}, {encoded, 0, kPlace}});
    matrix("sdf_mlp.1", at.sdf1, kOutputs, kHidden, kHidden, {{0, 0, kHidden}});
    matrix("colour_mlp.0", at.colour0, kHidden, kOutputs + kHarmonics + 4, kColourRow,
           {{0, 0, kOutputs}, {kOutputs, kColourOwn, kHarmonics}, {kOutputs + kHarmonics, kOutputs, 4}});
    matrix("colour_mlp.1", at.colour1, kHidden, kHidden, kHidden, {{0, 0, kHidden}});
    matrix("colour_mlp.2", at.colour2, kColours, kHidden, kHidden, {{0, 0, kHidden}});
    for (int i = 0; i < threads; i++) units_.push_back(std::make_unique<SdfUnitMemory>(at, settings.most_samples));
    for (SdfChunk& chunk : chunks_) chunk.grad = Array<float>(at.count);
    parameters_changed();
}

void SdfCore::parameters_changed() {
    kernels_.pack(field_);
    field_.sharpness = std::exp(log_sharpness[0]);
    field_.difference = 1.0f / float(field_.grid.level[field_.grid.active - 1].resolution);
}

void SdfCore::set_active(int levels) {
    field_.grid.active = std::max(1, std::min(levels, field_.grid.levels));
    parameters_changed();
}

void SdfCore::set_sphere(const float* centre, float radius) {
    std::copy_n(centre, 3, field_.centre);
    field_.radius = radius;
}

void SdfCore::set_prior(const float* distance, int cells) {
    prior_ = Array<float>(size_t(cells) * cells * cells);
    std::copy_n(distance, prior_.size(), prior_.data());
    field_.prior = cells ? prior_.data() : nullptr;
    field_.prior_cells = cells;
}

Settings SdfCore::looking() const {
    Settings s = settings_;
    s.step = std::min(std::max(sdf_.section / field_.sharpness, s.step), sdf_.longest * s.step);
    return s;
}

// `normals` is how many the two means are over.
void SdfCore::set_terms(double normals) {
    const int first = std::max(1, std::min(sdf_.first_levels, field_.grid.levels));
    const double fall = field_.difference * field_.grid.level[first - 1].resolution;
    field_.eikonal = float(sdf_.eikonal / std::max(normals, 1.0));
    field_.curvature = float(sdf_.curvature * fall / std::max(normals, 1.0));
}

void SdfCore::run_chunk(Rays& rays, int begin, int end, SdfUnitMemory& memory, SdfChunk& chunk, bool train,
                        bool draws) {
    SdfUnit& u = memory.unit;
    int number[kSdfUnitRays];
    u.rays = 0;
    u.first[0] = 0;
    u.terms = u.d_log_sharpness = 0;
    const auto finish = [&] {
        if (!u.rays) return;
        kernels_.forward(field_, u, settings_.stop);
        chunk.marched += u.first[u.rays];
        chunk.kept += u.kept;
        chunk.normals += u.chosen;
        for (int r = 0; r < u.rays; r++) chunk.loss += rays.seen(number[r], u, r);
        if (train && u.looked) {
            float* tape = chunk.reel.reserve(u.tape_points(), field_.grid.active);
            if (!kernels_.backward(field_, u, chunk.grad.data(), tape)) chunk.finite = false;
            chunk.reel.add(u.tape_points(), field_.grid.active);
        }
        u.rays = 0;
    };
    for (int i = begin; i < end; i++) {
        Ray ray;
        const int at = u.rays ? u.first[u.rays] : 0, n = rays.begin(i, ray, u.t + at, u.dt + at);
        if (n < 0) continue;
        const Random random(settings_.seed, step, uint32_t(i));
        for (int k = 0; k < n; k++)
            u.drawn[at + k] = draws && random.uniform(Draw(uint32_t(Draw::sample) + k)) < sdf_.normal_share;
        for (int c = 0; c < 3; c++) {
            u.origin[3 * u.rays + c] = ray.origin[c];
            u.direction[3 * u.rays + c] = ray.direction[c];
        }
        u.d_depth_sum[u.rays] = 0;
        number[u.rays++] = i;
        u.first[u.rays] = at + n;
        if (u.first[u.rays] >= kSdfUnitSamples || u.rays == kSdfUnitRays) finish();
    }
    finish();
    chunk.loss += u.terms;
    chunk.d_log_sharpness = u.d_log_sharpness;
}

bool SdfCore::run_chunks(Rays& source, int rays, bool train, bool draws) {
    pool_.run(kChunks, [&](int c, int thread) {
        SdfChunk& chunk = chunks_[c];
        chunk.reel.clear();
        chunk.loss = chunk.d_log_sharpness = 0;
        chunk.marched = chunk.kept = chunk.normals = 0;
        chunk.finite = true;
        if (train) std::fill_n(chunk.grad.data(), chunk.grad.size(), 0.0f);
        const auto bound = [&](int k) { return int(int64_t(rays) * k / kChunks); };
        run_chunk(source, bound(c), bound(c + 1), *units_[thread], chunk, train, draws);
    });
    bool finite = true;
    for (const SdfChunk& chunk : chunks_) finite = finite && chunk.finite && std::isfinite(chunk.loss);
    return finite;
}

void SdfCore::count_normals(Rays& source, int rays) {
    run_chunks(source, rays, false, true);
    long normals = 0;
    for (const SdfChunk& chunk : chunks_) normals += chunk.normals;
    set_terms(double(normals));
}

void SdfCore::sum_weight_gradients() {
    constexpr int kParts = 8;
    pool_.run(kParts, [&](int part, int) {
        const size_t n = chunks_[0].grad.size(), begin = n * part / kParts, end = n * (part + 1) / kParts;
        float* sum = chunks_[0].grad.data();
        for (int c = 1; c < kChunks; c++) {
            const float* more = chunks_[c].grad.data();
            for (size_t i = begin; i < end; i++) sum[i] += more[i];
        }
    });
}

double SdfCore::look(Rays& rays, int count, const std::vector<float*>& grads) {
    if (!grads.empty()) count_normals(rays, count);
    run_chunks(rays, count, !grads.empty(), !grads.empty());
    double loss = 0, by_sharpness = 0;
    for (const SdfChunk& chunk : chunks_) loss += chunk.loss, by_sharpness += chunk.d_log_sharpness;
    if (grads.empty()) return loss;
    sum_weight_gradients();
    std::fill_n(grads[0], tensors_[0].rows * kFeatures, 0.0f);
    for (int l = 0; l < field_.grid.active; l++)
        for (const SdfChunk& chunk : chunks_)
            for (size_t i = 0; i < chunk.reel.size(); i++)
                table_kernels_.scatter(field_.grid, l, chunk.reel.tape(i),
                                       grads[0] + kFeatures * field_.grid.level[l].offset);
    for (size_t k = 1; k < tensors_.size(); k++)
        tensors_[k].read(chunks_[0].grad.data() + (tensors_[k].values - weights_.data()), grads[k]);
    *grads.back() = float(by_sharpness);
    return loss;
}

void SdfCore::render(const Camera& camera, const float* background, float* rgb, float* depth, float* opacity) {
    const Settings s = looking();
    const auto rays = view_rays(s, occupancy_, camera, background, rgb, depth, opacity);
    run_chunks(*rays, camera.width * camera.height, false, false);
}

void SdfCore::place(SdfUnit& u, const float* points, int n) {
    float* to[3] = {u.x, u.y, u.z};
    for (int c = 0; c < 3; c++) {
        for (int s = 0; s < n; s++) {
            const float p = points[3 * size_t(s) + c];
            to[c][s] = p > 0 ? std::min(p, 1.0f) : 0;  // NaN becomes 0
        }
        std::fill_n(to[c] + n, 16, 0.0f);
    }
}

void SdfCore::sdf(const float* points, size_t n, float* out) {
    const size_t at_once = kSdfUnitSamples;
    pool_.run(int((n + at_once - 1) / at_once), [&](int task, int thread) {
        SdfUnit& u = units_[thread]->unit;
        const size_t begin = task * at_once;
        const int count = int(std::min(at_once, n - begin));
        place(u, points + 3 * begin, count);
        kernels_.values(field_, u, count);
        std::copy_n(u.f, count, out + begin);
    });
}

// Occupied: |f| within a band at the centre; cells at the edge of what is allowed also where f is below it.
void SdfCore::update_occupancy() {
    const int n = occupancy_.resolution();
    const float band = sdf_.band_diagonals * 1.7320508f / float(n) + sdf_.band_widths / field_.sharpness;
    const uint8_t* allowed = occupancy_.allowed().data();
    std::vector<uint32_t> cells;
    for (uint32_t i = 0; i < occupancy_.cells(); i++)
        if (allowed[i]) cells.push_back(i);
    std::vector<float> points(3 * cells.size()), f(cells.size());
    for (size_t k = 0; k < cells.size(); k++) {
        const uint32_t at[3] = {cells[k] % n, cells[k] / n % n, cells[k] / n / n};
        for (int c = 0; c < 3; c++) points[3 * k + c] = (float(at[c]) + 0.5f) / float(n);
    }
    sdf(points.data(), cells.size(), f.data());
    const auto at_edge = [&](uint32_t i) {
        const int x = int(i % n), y = int(i / n % n), z = int(i / n / n);
        for (int dz = -1; dz <= 1; dz++)
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++) {
                    const int a = x + dx, b = y + dy, c = z + dz;
                    if (a < 0 || b < 0 || c < 0 || a >= n || b >= n || c >= n) return true;
                    if (!allowed[(size_t(c) * n + b) * n + a]) return true;
                }
        return false;
    };
    std::vector<uint8_t> on(occupancy_.cells());
    for (size_t k = 0; k < cells.size(); k++)
        on[cells[k]] = f[k] < band && (f[k] > -band || at_edge(cells[k]));
    occupancy_.set_on(on.data());
}

}  // namespace nerf
