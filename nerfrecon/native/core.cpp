#include "core.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace nerf {

size_t lay_levels(Grid& grid, const std::vector<Level>& levels) {
    if (levels.empty() || int(levels.size()) > kMaxLevels) throw std::invalid_argument("1 to 32 levels");
    size_t rows = 0;
    for (size_t l = 0; l < levels.size(); l++) {
        const Level& level = grid.level[l] = levels[l];
        if (level.offset != rows) throw std::invalid_argument("levels do not lie behind each other");
        const uint64_t cube = uint64_t(level.resolution) * level.resolution * level.resolution;
        const bool power = level.entries && !(level.entries & (level.entries - 1));
        if (level.dense ? cube > level.entries || level.resolution < 2 : !power)
            throw std::invalid_argument("a level's entries do not fit its resolution");
        rows += level.entries;
    }
    grid.levels = grid.active = int(levels.size());
    return rows;
}

Core::Core(const Settings& settings, const std::vector<Level>& levels, const std::string& isa, int threads)
    : settings_(settings),
      kernels_(kernels(isa, settings.bf16)),
      pool_(threads),
      field_(int(levels.size())),
      occupancy_(settings.resolution),
      level_grads_(threads),
      chunks_(kChunks) {
    const size_t rows = lay_levels(field_.grid, levels);
    const Layers& at = field_.layers;
    table_ = Array<float>(rows * kFeatures);
    table_m_ = Array<float>(rows * kFeatures);
    table_v_ = Array<float>(rows * kFeatures);
    weights_ = Array<float>(at.count);
    weights_m_ = Array<float>(at.count);
    weights_v_ = Array<float>(at.count);
    packed_ = Array<float>(at.packed_count());
    if (settings.bf16) {
        pairs_ = Array<uint32_t>(at.packed_count() / 2);
        back_pairs_ = Array<uint32_t>(at.packed_count() / 2);
    }
    field_.grid.table = table_.data();
    field_.weights = weights_.data();
    field_.packed = packed_.data();
    field_.pairs = pairs_.data();
    field_.back_pairs = back_pairs_.data();
    tensors_.push_back({"grid.table", rows, kFeatures, kFeatures, table_.data(), table_m_.data(), table_v_.data()});
    const auto matrix = [&](const char* name, size_t start, size_t out, size_t in, size_t stride) {
        tensors_.push_back({name, out, in, stride, weights_.data() + start, weights_m_.data() + start,
                            weights_v_.data() + start});
    };
    matrix("density_mlp.0", at.density0, kHidden, size_t(encoded()), size_t(at.encoded));
    matrix("density_mlp.1", at.density1, kOutputs, kHidden, kHidden);
    matrix("colour_mlp.0", at.colour0, kHidden, kColourIn, kColourIn);
    matrix("colour_mlp.1", at.colour1, kHidden, kHidden, kHidden);
    matrix("colour_mlp.2", at.colour2, kColours, kHidden, kHidden);
    for (int i = 0; i < threads; i++) units_.push_back(std::make_unique<UnitMemory>(at, settings.most_samples));
    for (Chunk& chunk : chunks_) chunk.grad = Array<float>(at.count);
}

void Core::set_active(int levels) { field_.grid.active = std::max(1, std::min(levels, field_.grid.levels)); }

float* Core::level_buffer(int thread) {
    if (!level_grads_[thread].size()) {
        size_t most = 0;
        for (int l = 0; l < field_.grid.levels; l++) most = std::max(most, size_t(field_.grid.level[l].entries));
        level_grads_[thread] = Array<float>(most * kFeatures);
    }
    return level_grads_[thread].data();
}

void Core::run_chunk(Rays& rays, int begin, int end, UnitMemory& memory, Chunk& chunk, bool train) {
    Unit& u = memory.unit;
    int number[kUnitRays];
    u.rays = 0;
    u.first[0] = 0;
    const auto finish = [&] {
        if (!u.rays) return;
        kernels_.forward(field_, u, settings_.stop);
        chunk.marched += u.first[u.rays];
        chunk.kept += u.kept;
        for (int r = 0; r < u.rays; r++) chunk.loss += rays.seen(number[r], u, r);
        if (train && u.kept) {
            float* tape = chunk.reel.reserve(u.kept, field_.grid.active);
            if (!kernels_.backward(field_, u, chunk.grad.data(), tape)) chunk.finite = false;
            chunk.reel.add(u.kept, field_.grid.active);
        }
        u.rays = 0;
    };
    for (int i = begin; i < end; i++) {
        Ray ray;
        const int at = u.first[u.rays], n = rays.begin(i, ray, u.t + at, u.dt + at);
        if (n < 0) continue;
        for (int c = 0; c < 3; c++) {
            u.origin[3 * u.rays + c] = ray.origin[c];
            u.direction[3 * u.rays + c] = ray.direction[c];
        }
        u.d_depth_sum[u.rays] = 0;
        number[u.rays++] = i;
        u.first[u.rays] = at + n;
        if (u.first[u.rays] >= kUnitSamples || u.rays == kUnitRays) finish();
    }
    finish();
}

bool Core::run_chunks(Rays& source, int rays, bool train) {
    pool_.run(kChunks, [&](int c, int thread) {
        Chunk& chunk = chunks_[c];
        chunk.reel.clear();
        chunk.loss = 0;
        chunk.marched = chunk.kept = 0;
        chunk.finite = true;
        if (train) std::fill_n(chunk.grad.data(), chunk.grad.size(), 0.0f);
        const auto bound = [&](int k) { return int(int64_t(rays) * k / kChunks); };
        run_chunk(source, bound(c), bound(c + 1), *units_[thread], chunk, train);
    });
    bool finite = true;
    for (const Chunk& chunk : chunks_) finite = finite && chunk.finite && std::isfinite(chunk.loss);
    return finite;
}

void Core::sum_weight_gradients() {
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

double Core::look(Rays& rays, int count, const std::vector<float*>& grads) {
    run_chunks(rays, count, !grads.empty());
    double loss = 0;
    for (const Chunk& chunk : chunks_) loss += chunk.loss;
    if (grads.empty()) return loss;
    sum_weight_gradients();
    std::fill_n(grads[0], tensors_[0].rows * kFeatures, 0.0f);
    for (int l = 0; l < field_.grid.active; l++)
        for (const Chunk& chunk : chunks_)
            for (size_t i = 0; i < chunk.reel.size(); i++)
                kernels_.scatter(field_.grid, l, chunk.reel.tape(i), grads[0] + kFeatures * field_.grid.level[l].offset);
    for (size_t k = 1; k < grads.size(); k++) {
        const Tensor& t = tensors_[k];
        const float* from = chunks_[0].grad.data() + (t.values - weights_.data());
        for (size_t r = 0; r < t.rows; r++) std::copy_n(from + r * t.stride, t.columns, grads[k] + r * t.columns);
    }
    return loss;
}

void Core::layer(const float* x, const float* d, int n, float* y, float* d_x, float* d_w) {
    kernels_.layer(field_, x, d, n, y, d_x, d_w);
}

void Core::for_points(size_t n, const std::function<void(Unit&, size_t, int)>& position,
                      const std::function<void(Unit&, size_t, int)>& result) {
    const size_t at_once = kUnitSamples;
    pool_.run(int((n + at_once - 1) / at_once), [&](int task, int thread) {
        Unit& u = units_[thread]->unit;
        const size_t begin = task * at_once;
        const int count = int(std::min(at_once, n - begin));
        for (int s = 0; s < count; s++) position(u, begin + s, s);
        for (int s = count; s < count + 16; s++) u.x[s] = u.y[s] = u.z[s] = 0;
        kernels_.density(field_, u, count);
        for (int s = 0; s < count; s++) result(u, begin + s, s);
    });
}

namespace {
// Into the cube; NaN becomes 0.
void place(Unit& u, int s, const float* p) {
    u.x[s] = p[0] > 0 ? std::min(p[0], 1.0f) : 0;
    u.y[s] = p[1] > 0 ? std::min(p[1], 1.0f) : 0;
    u.z[s] = p[2] > 0 ? std::min(p[2], 1.0f) : 0;
}
}  // namespace

void Core::density(const float* points, size_t n, float* out) {
    for_points(
        n, [&](Unit& u, size_t i, int s) { place(u, s, points + 3 * i); },
        [&](Unit& u, size_t i, int s) { out[i] = u.sigma[s]; });
}

void Core::encode(const float* points, size_t n, float* out) {
    for_points(
        n, [&](Unit& u, size_t i, int s) { place(u, s, points + 3 * i); },
        [&](Unit& u, size_t i, int s) {
            std::copy_n(u.encoded + size_t(s) * field_.layers.encoded, encoded(), out + i * encoded());
        });
}

void Core::update_occupancy() {
    const Settings& s = settings_;
    const int n = occupancy_.resolution();
    const bool all = step < uint32_t(s.update_all_until);
    const Array<uint8_t>& on = occupancy_.on();
    std::vector<uint32_t> cells;
    double sum = 0;
    size_t allowed = 0;
    Array<float>& value = occupancy_.values();
    for (uint32_t i = 0; i < occupancy_.cells(); i++)
        if (occupancy_.allowed()[i] && (all || Random(s.seed, step, i).uniform(Draw::cell_choice) <
                                                   (on[i] ? s.update_share : s.update_share_empty)))
            cells.push_back(i);
    for_points(
        cells.size(),
        [&](Unit& u, size_t i, int k) {
            const uint32_t cell = cells[i];
            const Random random(s.seed, step, cell);
            const int corner[3] = {int(cell % n), int(cell / n % n), int(cell / n / n)};
            float p[3];
            for (int c = 0; c < 3; c++)
                p[c] = (float(corner[c]) + random.uniform(Draw(uint32_t(Draw::cell_x) + c))) / float(n);
            place(u, k, p);
        },
        [&](Unit& u, size_t i, int k) {
            value[cells[i]] = std::max(value[cells[i]] * s.decay, u.sigma[k] * s.step);
        });
    for (size_t i = 0; i < occupancy_.cells(); i++)
        if (occupancy_.allowed()[i]) sum += value[i], allowed++;
    const double mean = allowed ? sum / double(allowed) : 0;
    occupancy_.threshold(float(std::min(double(s.threshold), mean)));
}

}  // namespace nerf
