"""What a device measures of this project, in parts that each have a process of their own."""
