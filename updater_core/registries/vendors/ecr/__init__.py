"""Amazon ECR and ECR Public."""
