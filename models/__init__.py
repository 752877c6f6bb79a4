"""The model toolchain: recipes that train source models (`catalog`), and what makes artifacts of them (`compiler`)."""
