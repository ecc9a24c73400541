// The training core: a density field, its optimiser and occupancy, and steps that run without Python.
//
// A step: rays are drawn, marched, gathered into units, seen, judged and gone back through, in 64 chunks of
// consecutive rays that any thread may take; the kept samples leave tapes. Then each level of the table is
// owned by one thread, which replays all tapes in order and runs Adam on that level. Chunks are summed in their
// order, so that the count of threads changes nothing, not even the last bit.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "isa.h"
#include "loss.h"
#include "occupancy.h"
#include "pool.h"
#include "random.h"
#include "unit.h"

namespace nerf {

constexpr int kChunks = 64;

struct Settings {
    uint64_t seed = 0;
    // Sampling
    int resolution = 128, update_every = 16, update_all_until = 32, most_samples = 1024;
    float update_share = 0.25f, update_share_empty = 0.0625f, decay = 0.8f, threshold = 0.01f, step = 1.7320508f / 1024, cone = 0, near = 0;
    float stop = 1e-4f;
    bool empty_space = true;
    // Loss
    LossSettings loss;
    bool random_background = true;
    float background[3] = {1, 1, 1};
    // Adam
    float beta1 = 0.9f, beta2 = 0.99f, epsilon = 1e-15f, clip = 1.0f;
    int most_rays = 65536;
    bool bf16 = false;  // what the density field's networks compute in; weights and sums stay fp32
    March march() const { return {step, cone, near, most_samples}; }
};

// What may change from one call of `steps` to the next.
struct Pace {
    float grid_lr = 1e-2f, network_lr = 2e-3f;
    int active_levels = kMaxLevels, samples = 16384;
    float prior = 0;  // weight of the distance that a signed distance is drawn to
};

struct Report {
    int applied = 0, refused = 0;
    long rays = 0, marched = 0, kept = 0;
    double loss = 0;  // sum over steps of the mean over rays
};

// Rays for a chunk to look along. `begin` writes t and dt of the samples of ray number `ray` and gives their count,
// or -1 for no ray; `seen` gets what it composited as ray r of the unit, sets the d_*, and gives its loss.
struct Rays {
    virtual int begin(int ray, Ray& out, float* t, float* dt) = 0;
    virtual double seen(int ray, Unit& unit, int r) = 0;
    virtual ~Rays() = default;
};

// A point of known depth as a view sees it, and the trust in it.
struct Sighting {
    int view;
    double u, v;
    float depth, trust;
};

// What the losses of a step need beside the pictures; null where there is none of it.
struct Knowledge {
    const std::vector<Sighting>* points = nullptr;
    const float* gains = nullptr;  // (views, 3) factors of what is seen in front of the background
};

// Training pixels drawn for one step, and the pixels of a view: what steps and renderings look along.
// With points known, one ray in four more goes through one: `rays` becomes how many there are in all.
std::unique_ptr<Rays> pixel_rays(const Settings&, const Occupancy&, const std::vector<View>&, uint32_t step,
                                 const Knowledge&, int& rays);
std::unique_ptr<Rays> view_rays(const Settings&, const Occupancy&, const Camera&, const float* background, float* rgb,
                                float* depth, float* opacity);

// Sets the grid's levels, all active; returns the table's rows. std::invalid_argument for impossible ones.
size_t lay_levels(Grid&, const std::vector<Level>&);

struct Chunk {
    Array<float> grad;  // of the weights
    Reel reel;
    double loss = 0;
    long marched = 0, kept = 0;
    bool finite = true;
};

// One matrix as the outside knows it. Rows may be padded inside.
struct Tensor {
    std::string name;
    size_t rows, columns, stride;
    float *values, *m, *v;
};

class Core {
   public:
    Core(const Settings&, const std::vector<Level>&, const std::string& isa, int threads);

    Report steps(int count, const Pace&);  // std::runtime_error after three refused steps in a row
    void render(const Camera&, const float* background, float* rgb, float* depth, float* opacity);
    void density(const float* points, size_t n, float* out);
    void encode(const float* points, size_t n, float* out);  // (n, 2 L)
    void update_occupancy();
    // Looks along `rays` and, where `grads` is given, writes the gradient of every tensor in their order.
    double look(Rays& rays, int count, const std::vector<float*>& grads);
    void layer(const float* x, const float* d, int n, float* y, float* d_x, float* d_w);  // Kernels::layer

    std::vector<Tensor>& tensors() { return tensors_; }
    void parameters_changed() { kernels_.pack(field_); }
    Occupancy& occupancy() { return occupancy_; }
    const Settings& settings() const { return settings_; }
    const char* isa() const { return kernels_.name; }
    const char* arithmetic() const { return kernels_.arithmetic; }
    std::vector<View>& views() { return views_; }
    std::vector<Sighting>& points() { return points_; }
    void fit_exposure(size_t views);  // begins with gains of 1, unless there are gains of so many views
    Tensor& log_gains() { return log_gains_; }
    void set_active(int levels);
    int encoded() const { return field_.grid.levels * kFeatures; }

    // Where the training stands.
    uint32_t step = 0, applied = 0;
    int refused_in_row = 0;
    double caution = 1;         // factor of the learning rates, halved by every refused step
    double kept_per_ray = 0;    // running mean, 0: not known

   private:
    bool train_step(int rays, const Pace&, Report&);
    void run_chunk(Rays&, int begin, int end, UnitMemory&, Chunk&, bool train);
    bool run_chunks(Rays&, int rays, bool train);
    void sum_weight_gradients();
    void move_gains(AdamRates, const std::vector<float>& by_gain);
    void clip_gradients();
    void for_points(size_t n, const std::function<void(Unit&, size_t, int)>& position,
                    const std::function<void(Unit&, size_t, int)>& result);
    float* level_buffer(int thread);

    Settings settings_;
    const Kernels& kernels_;
    Pool pool_;
    Field field_;
    Array<float> table_, table_m_, table_v_, weights_, weights_m_, weights_v_, packed_;
    Array<uint32_t> pairs_, back_pairs_;
    std::vector<Tensor> tensors_;
    Occupancy occupancy_;
    std::vector<View> views_;
    std::vector<Sighting> points_;
    Tensor log_gains_{"exposure.log_gain", 0, 3, 3, nullptr, nullptr, nullptr};
    Array<float> gain_memory_;  // values, m, v
    std::vector<std::unique_ptr<UnitMemory>> units_;  // one a thread
    std::vector<Array<float>> level_grads_;           // one a thread, zero between uses
    std::vector<Chunk> chunks_;
};

}  // namespace nerf
