// Training core of the signed distance: as Core (core.h), for a field whose steps and occupancy follow its sharpness.
//
// The eikonal and curvature terms are means over normals, whose number is known only when the step is done: a step
// divides by the running mean of normals a ray, its first one by a count made in advance.
#pragma once

#include "core.h"
#include "sdf_unit.h"

namespace nerf {

struct SdfSettings {
    float normal_weight = 2e-3f, normal_share = 0.05f;
    float eikonal = 0.1f, curvature = 5e-4f;
    int first_levels = 6;            // active at the start: the curvature's weight is meant for their differences
    bool learned_sharpness = false;
    float section = 0.6f, longest = 5.0f;  // step: section / s, up to `longest` smallest steps
    float band_diagonals = 0.625f, band_widths = 4.0f;  // of the occupied band (render/occupancy.py)
};

struct SdfChunk : Chunk {
    double d_log_sharpness = 0;
    long normals = 0;
};

// A matrix as the outside knows it; inside, runs of its columns lie in another order (sdf_field.h).
struct SdfTensor {
    struct Run {
        size_t from, inside, count;  // first column outside, first inside
    };
    std::string name;
    size_t rows, columns, stride;
    float *values, *m, *v;
    std::vector<Run> runs;
    void read(const float* data, float* out) const;    // inside to outside
    void write(const float* in, float* data) const;
};

class SdfCore {
   public:
    SdfCore(const Settings&, const SdfSettings&, const std::vector<Level>&, const std::string& isa, int threads);

    Report steps(int count, const Pace&);  // std::runtime_error after three refused steps in a row
    void render(const Camera&, const float* background, float* rgb, float* depth, float* opacity);
    void sdf(const float* points, size_t n, float* out);
    void update_occupancy();
    // One step of Adam down the mean of |f - target| over points (n, 3) in the cube, which it returns; the colours
    // stay as they are. The optimiser is that of the training: clear it before and behind a fit.
    double fit(const float* points, const float* targets, size_t n, const Pace&);
    void clear_optimiser();
    // As Core::look; the gradients of all tensors and, last, of log s.
    double look(Rays&, int count, const std::vector<float*>& grads);

    std::vector<SdfTensor>& tensors() { return tensors_; }
    void parameters_changed();
    void set_active(int levels);
    void set_sphere(const float* centre, float radius);
    // What steps draw f to by `Pace::prior`: signed distance of cell centres (z, y, x), copied; 0 cells: nothing.
    void set_prior(const float* distance, int cells);
    const Array<float>& prior() const { return prior_; }
    Occupancy& occupancy() { return occupancy_; }
    std::vector<View>& views() { return views_; }
    std::vector<Sighting>& points() { return points_; }
    const Settings& settings() const { return settings_; }
    const char* isa() const { return kernels_.name; }

    uint32_t step = 0, applied = 0;
    int refused_in_row = 0;
    double caution = 1, kept_per_ray = 0, normals_per_ray = 0;
    float log_sharpness[3] = {0, 0, 0};  // value, first and second moment

   private:
    bool train_step(int rays, const Pace&, Report&);
    void run_chunk(Rays&, int begin, int end, SdfUnitMemory&, SdfChunk&, bool train, bool draws);
    bool run_chunks(Rays&, int rays, bool train, bool draws);
    void count_normals(Rays&, int rays);
    void sum_weight_gradients();
    void set_terms(double normals);
    void improve(const Pace&);  // by the tapes and the summed gradient of the weights
    AdamRates adam_rates(float rate) const;
    void place(SdfUnit&, const float* points, int n);
    Settings looking() const;  // with steps that follow the sharpness

    Settings settings_;
    SdfSettings sdf_;
    const Kernels& table_kernels_;
    const SdfKernels& kernels_;
    Pool pool_;
    SdfField field_;
    Array<float> prior_;
    Array<float> table_, table_m_, table_v_, weights_, weights_m_, weights_v_, packed_;
    std::vector<SdfTensor> tensors_;
    Occupancy occupancy_;
    std::vector<View> views_;
    std::vector<Sighting> points_;
    std::vector<std::unique_ptr<SdfUnitMemory>> units_;
    std::vector<Array<float>> level_grads_;
    std::vector<SdfChunk> chunks_;
};

}  // namespace nerf
