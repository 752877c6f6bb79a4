"""The protocol's messages: names, numbers and types of the fields as the protocol has them.

Made into classes when they are first needed, in a pool of their own: another package of this process may know the same
messages. A map is written as the list of entries that it is on the wire.
"""

from typing import Any

from google.protobuf import descriptor_pb2 as pb
from google.protobuf import descriptor_pool, message_factory

_PACKAGE = "inference"
_SCALARS = {
    "bool": pb.FieldDescriptorProto.TYPE_BOOL,
    "bytes": pb.FieldDescriptorProto.TYPE_BYTES,
    "double": pb.FieldDescriptorProto.TYPE_DOUBLE,
    "float": pb.FieldDescriptorProto.TYPE_FLOAT,
    "int32": pb.FieldDescriptorProto.TYPE_INT32,
    "int64": pb.FieldDescriptorProto.TYPE_INT64,
    "string": pb.FieldDescriptorProto.TYPE_STRING,
    "uint32": pb.FieldDescriptorProto.TYPE_UINT32,
    "uint64": pb.FieldDescriptorProto.TYPE_UINT64,
}
#: Triton's words for dtypes in a model's configuration; the place in the list is the number on the wire.
_DATA_TYPES = (
    *("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "STRING", "BF16"),
)
_NAMED = "1 string name, 2 string version"
_TENSOR = "1 string name, 2 string datatype, 3 int64* shape"
_DURATIONS = ["success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"]

#: "number type name"; a type with * is repeated.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 bool ready",
    "ModelReadyRequest": _NAMED,
    "ModelReadyResponse": "1 bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 string name, 2 string version, 3 string* extensions",
    "ModelMetadataRequest": _NAMED,
    "TensorMetadata": _TENSOR,
    "ModelMetadataResponse": "1 string name, 2 string* versions, 3 string platform, 4 TensorMetadata* inputs, "
    "5 TensorMetadata* outputs",
    "InferParameter": "1 bool bool_param, 2 int64 int64_param, 3 string string_param, 4 double double_param, "
    "5 uint64 uint64_param",
    "Parameter": "1 string key, 2 InferParameter value",
    "InferTensorContents": "1 bool* bool_contents, 2 int32* int_contents, 3 int64* int64_contents, "
    "4 uint32* uint_contents, 5 uint64* uint64_contents, 6 float* fp32_contents, 7 double* fp64_contents, "
    "8 bytes* bytes_contents",
    "InferInputTensor": f"{_TENSOR}, 4 Parameter* parameters, 5 InferTensorContents contents",
    "InferRequestedOutputTensor": "1 string name, 2 Parameter* parameters",
    "ModelInferRequest": "1 string model_name, 2 string model_version, 3 string id, 4 Parameter* parameters, "
    "5 InferInputTensor* inputs, 6 InferRequestedOutputTensor* outputs, 7 bytes* raw_input_contents",
    "InferOutputTensor": f"{_TENSOR}, 4 Parameter* parameters, 5 InferTensorContents contents",
    "ModelInferResponse": "1 string model_name, 2 string model_version, 3 string id, 4 Parameter* parameters, "
    "5 InferOutputTensor* outputs, 6 bytes* raw_output_contents",
    "ModelConfigRequest": _NAMED,
    "Specific": "1 int64* versions",
    "ModelVersionPolicy": "3 Specific specific",
    "ModelInput": "1 string name, 2 DataType data_type, 4 int64* dims",
    "ModelOutput": "1 string name, 2 DataType data_type, 3 int64* dims",
    "ModelConfig": "1 string name, 2 string platform, 3 ModelVersionPolicy version_policy, 4 int32 max_batch_size, "
    "5 ModelInput* input, 6 ModelOutput* output, 17 string backend",
    "ModelConfigResponse": "1 ModelConfig config",
    "ModelStatisticsRequest": _NAMED,
    "StatisticDuration": "1 uint64 count, 2 uint64 ns",
    "InferStatistics": ", ".join(f"{number} StatisticDuration {name}" for number, name in enumerate(_DURATIONS, 1)),
    "InferBatchStatistics": "1 uint64 batch_size, 2 StatisticDuration compute_input, "
    "3 StatisticDuration compute_infer, 4 StatisticDuration compute_output",
    "ModelStatistics": f"{_NAMED}, 3 uint64 last_inference, 4 uint64 inference_count, 5 uint64 execution_count, "
    "6 InferStatistics inference_stats, 7 InferBatchStatistics* batch_stats",
    "ModelStatisticsResponse": "1 ModelStatistics* model_stats",
    "RepositoryIndexRequest": "1 string repository_name, 2 bool ready",
    "ModelIndex": f"{_NAMED}, 3 string state, 4 string reason",
    "RepositoryIndexResponse": "1 ModelIndex* models",
    "SharedMemoryRequest": "1 string name",
    "RegionStatus": "1 string name, 2 string key, 3 uint64 offset, 4 uint64 byte_size",
    "RegionsEntry": "1 string key, 2 RegionStatus value",
    "SystemSharedMemoryStatusResponse": "1 RegionsEntry* regions",
    "SystemSharedMemoryRegisterRequest": "1 string name, 2 string key, 3 uint64 offset, 4 uint64 byte_size",
    "Nothing": "",
}


def _field(text: str) -> pb.FieldDescriptorProto:
    number, kind, name = text.split()
    single = kind.rstrip("*")
    repeated = kind != single
    field = pb.FieldDescriptorProto(
        name=name,
        number=int(number),
        label=pb.FieldDescriptorProto.LABEL_REPEATED if repeated else pb.FieldDescriptorProto.LABEL_OPTIONAL,
    )
    if single in _SCALARS:
        field.type = _SCALARS[single]
    else:
        enum = single == "DataType"
        field.type = pb.FieldDescriptorProto.TYPE_ENUM if enum else pb.FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{single}"
    return field


def _build() -> dict[str, Any]:
    file = pb.FileDescriptorProto(name="vedette/inference.proto", package=_PACKAGE, syntax="proto3")
    enum = file.enum_type.add(name="DataType")
    for number, word in enumerate(_DATA_TYPES):
        enum.value.add(name=f"TYPE_{word}", number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        message.field.extend(_field(text) for text in fields.split(", ") if text)
        if name == "InferParameter":
            # Of its fields one is set, also when it has the value that a field has by default.
            message.oneof_decl.add(name="choice")
            for field in message.field:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


#: The class of each message.
MESSAGES = _build()
