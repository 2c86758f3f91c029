"""WCSs of JWST and Roman: pipelines of frames (gwcs), and their tangent-plane corrections."""
