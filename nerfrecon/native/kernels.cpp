// The table of kernels for one instruction set, in fp32 or, with NERF_BF16, in bf16. Compiled several times; NERF_ISA
// names the table.
#include "adam.h"
#include "density.h"

namespace {

#if defined(NERF_BF16)
using Math = Bf16;
#define NERF_TABLE(isa) NERF_JOIN(bf16_kernels_, isa)
#else
using Math = Fp32;
#define NERF_TABLE(isa) NERF_JOIN(kernels_, isa)
#endif

void pack(Field& field) {
    const nerf::Layers& at = field.layers;
    Math::pack(field, at.density0, kHidden, at.encoded, kHidden);
    Math::pack(field, at.density1, kOutputs, kHidden, kOutputs);
    Math::pack(field, at.colour0, kHidden, nerf::kColourIn, kHidden);
    Math::pack(field, at.colour1, kHidden, kHidden, kHidden);
    Math::pack(field, at.colour2, nerf::kColours, kHidden, nerf::kColoursPadded);
}

void density_of_points(const Field& field, Unit& u, int n) { evaluate_density<Math>(field, u, 0, n); }

void layer(Field& field, const float* x, const float* d, int n, float* y, float* d_x, float* d_w) {
    const size_t at = field.layers.colour1;
    product<After::nothing>(Product{x, Math::forward(field, at), y, kHidden, kHidden, kHidden, kHidden}, n, kHidden);
    product<After::nothing>(Product{d, Math::back(field, at), d_x, kHidden, kHidden, kHidden, kHidden}, n, kHidden);
    Math::outer(Outer{d, x, d_w, kHidden, kHidden, kHidden}, n, kHidden, kHidden);
}

void exponentials(const float* x, float* out, int n) {
    for (int i = 0; i < n; i += W) {
        vf v = {};
        const int lanes = n - i < W ? n - i : W;
        for (int j = 0; j < lanes; j++) v[j] = x[i + j];
        v = exponential(v);
        for (int j = 0; j < lanes; j++) out[i + j] = v[j];
    }
}

}  // namespace

namespace nerf {

#define NERF_TEXT_(x) #x
#define NERF_TEXT(x) NERF_TEXT_(x)
#define NERF_JOIN_(a, b) a##b
#define NERF_JOIN(a, b) NERF_JOIN_(a, b)

extern const Kernels NERF_TABLE(NERF_ISA);
const Kernels NERF_TABLE(NERF_ISA) = {
    NERF_TEXT(NERF_ISA), Math::name, W, pack, encode, density_of_points, forward<Math>, backward<Math>, scatter, adam,
    exponentials, layer,
};

}  // namespace nerf
